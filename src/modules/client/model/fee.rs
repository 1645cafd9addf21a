//! What an operation costs.

use crate::{
    kernel::{
        error::Result,
        money::{Amount, Percent},
    },
    modules::client::contract::FeeRule,
};

impl FeeRule {
    /// The fee for `amount`: `percent` of it, rounded up (a customer pays it), plus `fixed`, then at least `min` and
    /// at most `max`. The three amounts hold for their own currency only: in another one nothing says what they are
    /// worth, so the percentage alone counts (docs/decisions/0005).
    pub fn fee(&self, amount: Amount) -> Result<Amount> {
        let comparable = |it: Option<Amount>| it.filter(|it| it.currency() == amount.currency());
        let share = if self.percent == Percent::ZERO {
            Amount::zero(amount.currency())
        } else {
            amount.percent_up(self.percent)?
        };
        let mut fee = comparable(self.fixed).map_or(Ok(share), |fixed| share.plus(fixed))?;
        if let Some(min) = comparable(self.min).filter(|min| fee < *min) {
            fee = min;
        }
        if let Some(max) = comparable(self.max).filter(|max| fee > *max) {
            fee = max;
        }
        Ok(fee)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::money::{AmountText, Currency};

    const fn currency_decimals(code: &str) -> u8 {
        match code.as_bytes() {
            b"JPY" => 0,
            b"BTC" => 8,
            _ => 2,
        }
    }

    fn amount(text: &str) -> Amount {
        let (digits, code) = text.split_once(' ').unwrap();
        let currency = Currency { code: code.parse().unwrap(), decimals: currency_decimals(code) };
        digits.parse::<AmountText>().unwrap().not_negative("amount", currency).unwrap()
    }

    fn some(text: &str) -> Option<Amount> {
        (!text.is_empty()).then(|| amount(text))
    }

    #[test]
    fn a_fee_is_a_share_and_a_fixed_part_within_its_bounds() {
        // percent, fixed, min, max, of → fee
        for (percent, fixed, min, max, of, fee) in [
            ("0", "", "", "", "100.00 USD", "0.00 USD"),
            ("1.5", "", "", "", "100.00 USD", "1.50 USD"),
            // A fee rounds up: 1.5 % of 10.01 is 0.15015.
            ("1.5", "", "", "", "10.01 USD", "0.16 USD"),
            ("0.000001", "", "", "", "0.01 USD", "0.01 USD"),
            ("100", "", "", "", "10.01 USD", "10.01 USD"),
            ("0", "1.00 USD", "", "", "200.00 USD", "1.00 USD"),
            ("1", "0.30 USD", "", "", "20.00 USD", "0.50 USD"),
            // The bounds apply to the sum of both.
            ("1", "0.30 USD", "0.50 USD", "", "20.00 USD", "0.50 USD"),
            ("1", "0.30 USD", "0.51 USD", "", "20.00 USD", "0.51 USD"),
            ("1", "0.30 USD", "", "0.49 USD", "20.00 USD", "0.49 USD"),
            ("0", "", "2.00 USD", "", "5.00 USD", "2.00 USD"),
            ("1", "", "0.00 USD", "0.00 USD", "5.00 USD", "0.00 USD"),
            // Decimals of the currency itself.
            ("1", "", "", "", "150 JPY", "2 JPY"),
            ("0.1", "", "", "", "0.00000001 BTC", "0.00000001 BTC"),
            // In another currency than the default one only the percentage counts.
            ("1", "0.30 USD", "5.00 USD", "0.01 USD", "20.00 EUR", "0.20 EUR"),
            ("0", "0.30 USD", "5.00 USD", "", "20.00 EUR", "0.00 EUR"),
        ] {
            let percent = percent.parse().unwrap();
            let rule = FeeRule { percent, fixed: some(fixed), min: some(min), max: some(max) };
            assert_eq!(rule.fee(amount(of)).unwrap(), amount(fee), "{rule:?} of {of}");
        }
    }
}
