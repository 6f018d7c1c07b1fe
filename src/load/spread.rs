//! Medians and spread of several measurements of the same thing, and taking turns between two things.

/// Of several values of the same thing.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// A quarter of the values is at most this.
    pub lower_quartile: f64,
    /// The middle one.
    pub median: f64,
    /// A quarter of the values is at least this.
    pub upper_quartile: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |quantile: f64| {
            let place = quantile * (values.len() - 1) as f64;
            let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Self {
            min: at(0.0),
            lower_quartile: at(0.25),
            median: at(0.5),
            upper_quartile: at(0.75),
            max: at(1.0),
        }
    }

    /// Of a figure of each pair, the first over the second. The machine changes between pairs more than
    /// within one, so pairs are compared and not medians.
    pub fn of_ratios<T>(pairs: &[(T, T)], figure: impl Fn(&T) -> f64) -> Self {
        Self::of(pairs.iter().map(|(first, second)| figure(first) / figure(second)))
    }
}

/// Does one thing and another so many times in turn; which of them goes first changes from pair to pair, for
/// the second finds another machine (warmer, or busier) than the first. `state` is what both need.
///
/// # Errors
/// The first of either, which ends it.
pub fn in_turn<S, T, E>(
    pairs: u32,
    state: &mut S,
    mut first: impl FnMut(&mut S) -> Result<T, E>,
    mut second: impl FnMut(&mut S) -> Result<T, E>,
    mut progress: impl FnMut(u32, &T, &T),
) -> Result<Vec<(T, T)>, E> {
    let mut done = Vec::new();
    for pair in 0..pairs {
        let (one, two) = if pair % 2 == 0 {
            let one = first(state)?;
            (one, second(state)?)
        } else {
            let two = second(state)?;
            (first(state)?, two)
        };
        progress(pair + 1, &one, &two);
        done.push((one, two));
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_values() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!((spread.lower_quartile, spread.median, spread.upper_quartile), (2.0, 3.0, 4.0));
        assert_eq!((spread.min, spread.max), (1.0, 5.0));
        assert_eq!(Spread::of([1.0, 2.0]).median, 1.5);
    }

    #[test]
    fn ratios_are_of_pairs() {
        let spread = Spread::of_ratios(&[(2.0, 1.0), (30.0, 10.0), (1.0, 1.0)], |value| *value);
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
    }

    #[test]
    fn turns_are_taken_and_the_first_changes() {
        let mut order = String::new();
        let done = in_turn(
            3,
            &mut order,
            |order| {
                order.push('a');
                Ok::<_, ()>(1)
            },
            |order| {
                order.push('b');
                Ok(2)
            },
            |_, _, _| (),
        );
        assert_eq!(done, Ok(vec![(1, 2); 3]));
        assert_eq!(order, "abbaab");
    }
}
