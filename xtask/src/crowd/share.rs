//! The bots' gain over their fair share, with its confidence interval.

use super::sale::Sold;

/// Of 95 % of a normal distribution so many standard errors lie on either side of the mean.
const STANDARD_ERRORS: f64 = 1.96;

/// What bots got of drawn sales, as a factor of their fair share: 1 is no gain.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Gain {
    /// The mean over the sales.
    pub mean: f64,
    /// Half the width of its confidence interval of 95 %.
    pub half: f64,
    /// How many sales.
    pub sales: usize,
}

impl Gain {
    /// Over several sales, each of which counts once: the bots' part of what was sold, over their part of the accounts.
    /// The interval is the mean's, from the deviation of the sales from each other: every sale is drawn by itself, and
    /// nothing else is assumed of the draw.
    pub fn of(sales: &[Sold]) -> Self {
        let gains: Vec<f64> = sales.iter().map(|sale| sale.share() / sale.fair()).collect();
        let count = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let half = STANDARD_ERRORS * (variance / count).sqrt();
        Self { mean, half, sales: gains.len() }
    }

    /// The upper end of the interval.
    pub fn upper(&self) -> f64 {
        self.mean + self.half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sold(by_bots: u32) -> Sold {
        Sold {
            units: 50,
            sold: 50,
            bots: 20,
            people: 80,
            by_bots,
            by_people: 50 - by_bots,
            extra: 0,
            bots_without: [("sold out".to_owned(), 20 - by_bots)].into(),
            people_without: [("sold out".to_owned(), 30 + by_bots)].into(),
        }
    }

    #[test]
    fn a_fair_draw_is_no_gain_and_a_share_that_is_twice_the_fair_one_is_two() {
        let fair = Gain::of(&[sold(10), sold(9), sold(11)]);
        assert!((fair.mean - 1.0).abs() < 1e-12);
        // The sample's deviation is 0.1, that of the mean of three sales 0.1 / √3.
        assert!((fair.half - 1.96 * 0.1 / 3_f64.sqrt()).abs() < 1e-12);
        let twice = Gain::of(&[sold(20), sold(20)]);
        assert!((twice.mean - 2.0).abs() < 1e-12 && twice.half == 0.0 && twice.upper() == 2.0);
    }

    #[test]
    fn a_sale_whose_sums_disagree_is_found() {
        assert!(sold(7).check().is_ok());
        for wrong in [
            Sold { sold: 51, by_people: 44, ..sold(7) },
            Sold { by_people: 44, ..sold(7) },
            Sold { extra: 1, ..sold(7) },
            Sold { bots_without: [("sold out".to_owned(), 12)].into(), ..sold(7) },
            Sold { people_without: [].into(), ..sold(7) },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
