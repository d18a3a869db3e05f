//! Disjoint sets whose root is always their smallest member.

/// A forest over `0..len` in which a parent's number is never above its child's.
///
/// The smallest member as root makes the sets, and whatever is numbered by them, independent of the order of unions.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnionFind {
    parents: Vec<u32>,
}

impl UnionFind {
    /// `len` sets of one member each.
    pub(crate) fn new(len: u32) -> Self {
        Self { parents: (0..len).collect() }
    }

    /// The number of members.
    pub(crate) fn len(&self) -> u32 {
        self.parents.len() as u32
    }

    /// Adds a set of one member and returns that member.
    pub(crate) fn push(&mut self) -> u32 {
        let member = self.parents.len() as u32;
        self.parents.push(member);
        member
    }

    /// Adds another forest behind this one; its member `i` becomes `self.len() + i`.
    pub(crate) fn append(&mut self, other: &Self) {
        let base = self.parents.len() as u32;
        self.parents.extend(other.parents.iter().map(|parent| parent + base));
    }

    /// The smallest member of the set that `member` belongs to; shortens the path to it.
    pub(crate) fn find(&mut self, mut member: u32) -> u32 {
        while self.parents[member as usize] != member {
            let grandparent = self.parents[self.parents[member as usize] as usize];
            self.parents[member as usize] = grandparent;
            member = grandparent;
        }
        member
    }

    /// Unites the sets of `a` and `b`.
    pub(crate) fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }

    /// Numbers the sets 1, 2, ... by their smallest members; returns each member's number and the number of sets.
    pub(crate) fn numbered(&self) -> (Vec<u32>, u32) {
        let mut numbers = vec![0; self.parents.len()];
        let mut count = 0;
        for member in 0..self.parents.len() {
            let parent = self.parents[member] as usize;
            // A parent comes before its children, so its number is already known.
            numbers[member] = if parent == member {
                count += 1;
                count
            } else {
                numbers[parent]
            };
        }
        (numbers, count)
    }
}
