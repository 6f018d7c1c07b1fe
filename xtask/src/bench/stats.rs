//! Medians and spread.

/// Of several values of the same thing.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Spread {
    /// A quarter of the values is at most this.
    pub lower_quartile: f64,
    /// The middle one.
    pub median: f64,
    /// A quarter of the values is at least this.
    pub upper_quartile: f64,
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
        Self { lower_quartile: at(0.25), median: at(0.5), upper_quartile: at(0.75) }
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn quartiles_lie_between_the_values() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!((spread.lower_quartile, spread.median, spread.upper_quartile), (2.0, 3.0, 4.0));
        assert_eq!(Spread::of([1.0, 2.0]).median, 1.5);
    }
}
