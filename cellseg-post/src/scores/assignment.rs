//! The assignment of rows to columns with the largest total weight, on a sparse graph.
//!
//! Shortest augmenting paths with potentials (Jonker & Volgenant 1987), found by Dijkstra's search over the edges that
//! exist. A row may stay alone at weight 0. Objects overlap few others, so a search ends after a few steps and the
//! cost grows with the overlaps, where a dense solver needs all pairs.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A weighted edge from a row to a column; weights are at least 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) weight: f64,
}

/// The edges of an assignment of the largest total weight. `edges` must be sorted by row.
pub(super) fn heaviest_assignment(edges: &[Edge], rows: usize, columns: usize) -> Vec<Edge> {
    let mut search = Search::new(edges, rows, columns);
    for row in 0..rows {
        search.assign(row);
    }
    search.chosen.into_iter().flatten().map(|edge| edges[edge]).collect()
}

/// A distance as a heap key; never NaN here.
#[derive(PartialEq)]
struct Distance(f64);

impl Eq for Distance {}
impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Distance {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Columns at and above `columns` are each row's place to stay alone: `columns + row`, weight 0.
struct Search<'a> {
    edges: &'a [Edge],
    /// Where each row's edges begin.
    first_edge: Vec<usize>,
    columns: usize,
    /// The row that holds each column.
    holder: Vec<Option<usize>>,
    /// The edge by which each row holds a column.
    chosen: Vec<Option<usize>>,
    row_potential: Vec<f64>,
    column_potential: Vec<f64>,
    /// The shortest known path to each column in the current search, and the row and edge it comes by.
    distance: Vec<f64>,
    from: Vec<(usize, Option<usize>)>,
    done: Vec<bool>,
    touched: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(edges: &'a [Edge], rows: usize, columns: usize) -> Self {
        let mut first_edge = vec![0; rows + 1];
        edges.iter().for_each(|edge| first_edge[edge.row + 1] += 1);
        for row in 0..rows {
            first_edge[row + 1] += first_edge[row];
        }
        let places = columns + rows;
        Self {
            edges,
            first_edge,
            columns,
            holder: vec![None; places],
            chosen: vec![None; rows],
            row_potential: vec![0.0; rows],
            column_potential: vec![0.0; places],
            distance: vec![f64::INFINITY; places],
            from: vec![(0, None); places],
            done: vec![false; places],
            touched: Vec::new(),
        }
    }

    /// Finds the cheapest way to give `row` a column, moving earlier rows along the path.
    fn assign(&mut self, row: usize) {
        let mut heap = BinaryHeap::new();
        // The row's potential starts where its cheapest edge costs nothing, so that no reduced cost is negative.
        self.row_potential[row] = self
            .choices(row)
            .map(|(column, cost, _)| cost - self.column_potential[column])
            .fold(f64::INFINITY, f64::min);
        self.relax(row, 0.0, &mut heap);
        let free = loop {
            let Some(Reverse((Distance(distance), column))) = heap.pop() else {
                unreachable!("a row can always stay alone")
            };
            if self.done[column] {
                continue;
            }
            self.done[column] = true;
            match self.holder[column] {
                Some(next) => self.relax(next, distance, &mut heap),
                None => break column,
            }
        };
        self.update_potentials(row, self.distance[free]);
        self.augment(row, free);
        for column in self.touched.drain(..) {
            self.distance[column] = f64::INFINITY;
            self.done[column] = false;
        }
    }

    /// The columns a row may take: (column, cost, edge).
    fn choices(&self, row: usize) -> impl Iterator<Item = (usize, f64, Option<usize>)> {
        let edges = self.first_edge[row]..self.first_edge[row + 1];
        edges
            .map(|edge| (self.edges[edge].column, -self.edges[edge].weight, Some(edge)))
            .chain(std::iter::once((self.columns + row, 0.0, None)))
    }

    fn relax(&mut self, row: usize, so_far: f64, heap: &mut BinaryHeap<Reverse<(Distance, usize)>>) {
        let choices: Vec<_> = self.choices(row).collect();
        for (column, cost, edge) in choices {
            let reduced = cost - self.row_potential[row] - self.column_potential[column];
            // Rounding may leave a reduced cost a hair below 0.
            let distance = so_far + reduced.max(0.0);
            if !self.done[column] && distance < self.distance[column] {
                if self.distance[column].is_infinite() {
                    self.touched.push(column);
                }
                self.distance[column] = distance;
                self.from[column] = (row, edge);
                heap.push(Reverse((Distance(distance), column)));
            }
        }
    }

    fn update_potentials(&mut self, row: usize, shortest: f64) {
        self.row_potential[row] += shortest;
        for &column in &self.touched {
            if self.done[column] {
                let gain = shortest - self.distance[column];
                self.column_potential[column] -= gain;
                if let Some(holder) = self.holder[column] {
                    self.row_potential[holder] += gain;
                }
            }
        }
    }

    /// Moves the rows along the path from `row` to the free column.
    fn augment(&mut self, row: usize, free: usize) {
        let mut column = free;
        loop {
            let (by, edge) = self.from[column];
            let left = self.chosen[by].map_or(self.columns + by, |edge| self.edges[edge].column);
            self.holder[column] = Some(by);
            self.chosen[by] = edge;
            if by == row {
                return;
            }
            column = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The largest total weight, trying each column and none for each row.
    fn by_trying_all(edges: &[Edge], row: usize, rows: usize, taken: &mut Vec<bool>) -> f64 {
        if row == rows {
            return 0.0;
        }
        let mut best = by_trying_all(edges, row + 1, rows, taken);
        for edge in edges.iter().filter(|edge| edge.row == row) {
            if !taken[edge.column] {
                taken[edge.column] = true;
                best = best.max(edge.weight + by_trying_all(edges, row + 1, rows, taken));
                taken[edge.column] = false;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_assignment_is_heavier(
            rows in 0usize..6,
            columns in 1usize..6,
            // Few different weights, so that there are ties.
            weights in prop::collection::vec(prop_oneof![Just(None), (0u8..5).prop_map(Some)], 36),
        ) {
            let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            let edges: Vec<Edge> = all
                .filter_map(|(row, column)| {
                    let weight = f64::from(weights[row * 6 + column]?) / 3.0;
                    Some(Edge { row, column, weight })
                })
                .collect();
            let chosen = heaviest_assignment(&edges, rows, columns);
            let mut used = (vec![false; rows], vec![false; columns]);
            for edge in &chosen {
                prop_assert!(!std::mem::replace(&mut used.0[edge.row], true));
                prop_assert!(!std::mem::replace(&mut used.1[edge.column], true));
            }
            let total: f64 = chosen.iter().map(|edge| edge.weight).sum();
            let best = by_trying_all(&edges, 0, rows, &mut vec![false; columns]);
            prop_assert!((total - best).abs() < 1e-12, "{} of {}", total, best);
        }
    }
}
