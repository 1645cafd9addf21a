//! Candles: what a market did in a minute, an hour, a day.

use std::time::Duration;

use crate::kernel::{
    api::input::text_enum,
    clock::Time,
    money::RateValue,
    store::codec::{Decode, Encode, row},
};

text_enum! {
    /// How long a candle burns.
    pub enum Interval { Minute = "1m", Hour = "1h", Day = "1d" }
}

impl Interval {
    pub const EACH: [Interval; 3] = [Interval::Minute, Interval::Hour, Interval::Day];

    /// As it stands in keys: never renumbered.
    pub const fn number(self) -> u8 {
        match self {
            Interval::Minute => 1,
            Interval::Hour => 2,
            Interval::Day => 3,
        }
    }

    pub const fn length(self) -> Duration {
        match self {
            Interval::Minute => Duration::from_secs(60),
            Interval::Hour => Duration::from_secs(3600),
            Interval::Day => Duration::from_secs(24 * 3600),
        }
    }

    /// How long its candles are kept; `None`: for ever.
    pub const fn kept(self) -> Option<Duration> {
        match self {
            Interval::Minute => Some(Duration::from_secs(7 * 24 * 3600)),
            Interval::Hour => Some(Duration::from_secs(400 * 24 * 3600)),
            Interval::Day => None,
        }
    }

    /// The beginning of the candle an instant belongs to, in UTC.
    pub fn start(self, at: Time) -> Time {
        let length = self.length().as_micros() as i64;
        Time::from_micros(at.micros().div_euclid(length) * length)
    }
}

/// What the middle price did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Candle {
    // Invariant: low <= open, close <= high, and count >= 1.
    pub open: RateValue,
    pub high: RateValue,
    pub low: RateValue,
    pub close: RateValue,
    /// How many prices.
    pub count: u64,
}
row!(Candle);

impl Candle {
    pub fn lit(price: RateValue) -> Candle {
        Candle { open: price, high: price, low: price, close: price, count: 1 }
    }

    pub fn add(&mut self, price: RateValue) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candle_holds_its_extremes() {
        let value = |it: &str| it.parse::<RateValue>().unwrap();
        let mut candle = Candle::lit(value("10"));
        for price in ["12", "9.5", "11"] {
            candle.add(value(price));
        }
        let wanted =
            Candle { open: value("10"), high: value("12"), low: value("9.5"), close: value("11"), count: 4 };
        assert_eq!(candle, wanted);
    }

    #[test]
    fn an_instant_belongs_to_one_candle() {
        let at = Time::parse("2026-11-22T10:44:59.999999Z").unwrap();
        for (interval, wanted) in [
            (Interval::Minute, "2026-11-22T10:44:00Z"),
            (Interval::Hour, "2026-11-22T10:00:00Z"),
            (Interval::Day, "2026-11-22T00:00:00Z"),
        ] {
            assert_eq!(interval.start(at), Time::parse(wanted).unwrap());
            assert_eq!(interval.start(interval.start(at)), interval.start(at));
        }
    }
}
