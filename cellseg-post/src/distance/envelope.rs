//! The lower envelope of parabolas of one width (Felzenszwalb & Huttenlocher 2012).

/// The lower envelope of the parabolas `height(j) + weight (i - j)^2` over all j of finite height.
///
/// Where two parabolas are equally low, the one of smaller j counts.
#[derive(Default)]
pub(super) struct Envelope {
    /// The j of each parabola on the envelope and the position from which on it is the lowest.
    parabolas: Vec<(usize, f64)>,
    /// Where the last query ended; queries come in rising order.
    at: usize,
}

impl Envelope {
    pub(super) fn build(&mut self, heights: &[f64], weight: f64) {
        self.parabolas.clear();
        self.at = 0;
        for (j, &height) in heights.iter().enumerate() {
            if height == f64::INFINITY {
                continue;
            }
            let mut from = f64::NEG_INFINITY;
            while let Some(&(last, last_from)) = self.parabolas.last() {
                // Written so that equal heights meet exactly half way.
                let meet =
                    (j + last) as f64 / 2.0 + (height - heights[last]) / (2.0 * weight * (j - last) as f64);
                if meet > last_from {
                    from = meet;
                    break;
                }
                self.parabolas.pop();
            }
            self.parabolas.push((j, from));
        }
    }

    /// The j of the lowest parabola at `position`; `None` if there is none. Positions must not fall between calls.
    pub(super) fn lowest_at(&mut self, position: usize) -> Option<usize> {
        while self.parabolas.get(self.at + 1).is_some_and(|(_, from)| *from < position as f64) {
            self.at += 1;
        }
        self.parabolas.get(self.at).map(|(j, _)| *j)
    }
}
