//! Arithmetic in decimal digits, in which 0.1 and 0.2 make 0.3.

/// `digits` times ten to the power of `exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decimal {
    digits: i128,
    exponent: i32,
}

/// How many digits behind the point a division gives.
const PLACES: i32 = 16;

impl Decimal {
    /// The number that is written with the fewest digits for `n`; `None` for what is none.
    pub(super) fn of(n: f64) -> Option<Decimal> {
        let text = format!("{n:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{part}").parse().ok()?;
        Some(Decimal { digits, exponent: exponent.parse::<i32>().ok()? - part.len() as i32 })
    }

    pub(super) fn float(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or_default()
    }

    pub(super) fn plus(self, other: Decimal) -> Option<Decimal> {
        let exponent = self.exponent.min(other.exponent);
        let digits = self.at(exponent)?.checked_add(other.at(exponent)?)?;
        Some(Decimal { digits, exponent })
    }

    pub(super) fn minus(self, other: Decimal) -> Option<Decimal> {
        self.plus(Decimal { digits: -other.digits, ..other })
    }

    pub(super) fn times(self, other: Decimal) -> Option<Decimal> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Decimal { digits, exponent: self.exponent + other.exponent })
    }

    /// To so many digits behind the point, half of the last one rounded away from zero. `by` is not zero.
    pub(super) fn over(self, by: Decimal) -> Option<Decimal> {
        let shift = self.exponent - by.exponent + PLACES;
        let (top, bottom) = match u32::try_from(shift) {
            Ok(shift) => (self.digits.checked_mul(10i128.checked_pow(shift)?)?, by.digits),
            Err(_) => (self.digits, by.digits.checked_mul(10i128.checked_pow(shift.unsigned_abs())?)?),
        };
        let (whole, rest) = (top.checked_div(bottom)?, top.checked_rem(bottom)?);
        let up = rest.unsigned_abs().checked_mul(2)? >= bottom.unsigned_abs();
        let sign = top.signum() * bottom.signum();
        Some(Decimal { digits: whole + if up { sign } else { 0 }, exponent: -PLACES })
    }

    pub(super) fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// The digits for a smaller exponent.
    fn at(self, exponent: i32) -> Option<i128> {
        let more = u32::try_from(self.exponent - exponent).ok()?;
        self.digits.checked_mul(10i128.checked_pow(more)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_in_decimal_digits() {
        let of = |n| Decimal::of(n).unwrap();
        for (found, expected) in [
            (of(0.1).plus(of(0.2)), 0.3),
            (of(1.0).minus(of(1.005)), -0.005),
            (of(2.675).minus(of(2.5)), 0.175),
            (of(-1.0).times(of(0.0)), 0.0),
            (of(1.1).times(of(1.1)), 1.21),
            (of(10.0).over(of(3.0)), 3.3333333333333335),
            (of(-1.0).over(of(7.0)), -0.1428571428571429),
            (of(1e20).over(of(3.0)), 33333333333333333333.3333333333333333),
        ] {
            assert_eq!(found.unwrap().float().to_string(), f64::to_string(&expected));
        }
        assert!(Decimal::of(f64::NAN).is_none() && of(0.0).is_zero());
        assert!(of(1e300).plus(of(1e-300)).is_none(), "more digits than are kept");
    }
}
