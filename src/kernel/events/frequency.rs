//! How often: the words of the configuration and of schedules.
//!
//! `immediate` · `hourly` · `daily` · `weekly` · `every 5m` · `30 2 * * * Europe/Berlin`
//!
//! `hourly`, `daily` and `weekly` (Monday) begin at the full hour or at midnight, UTC. `every` counts from 1970, so
//! that the instants do not depend on when the server was started. A cron expression has five fields, or six with
//! seconds first, and perhaps a time zone; without one it is UTC. Where clocks are put forward, a time that does not
//! exist runs right after the jump; where they are put back, it runs once, the first time. Expressions with a
//! wildcard hour or minute keep their interval instead. That is what Debian's cron does.

use std::{fmt, str::FromStr, time::Duration};

use croner::{Cron, parser::CronParser};
use jiff::{Timestamp, tz::TimeZone};

use crate::kernel::clock::Time;

/// When something happens again and again.
#[derive(Debug, Clone)]
pub struct Frequency {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Immediate,
    Every(Duration),
    Cron(Box<Cron>, TimeZone),
}

/// What `Frequency` accepts, for messages.
pub const WANTED: &str = "immediate, hourly, daily, weekly, \"every 5m\" (s, m, h or d), or a cron expression with \
                          five or six fields and perhaps a time zone, such as \"30 2 * * * Europe/Berlin\"";

const MOST_DAYS: u64 = 366;

impl Frequency {
    /// The first instant after `now`; `now` itself when it is `immediate`, `None` when there is none.
    pub fn next(&self, now: Time) -> Option<Time> {
        match &self.rule {
            Rule::Immediate => Some(now),
            Rule::Every(step) => {
                let step = i64::try_from(step.as_micros()).ok()?;
                Some(Time::from_micros((now.micros().div_euclid(step) + 1).checked_mul(step)?))
            }
            Rule::Cron(cron, zone) => {
                let now = Timestamp::from_microsecond(now.micros()).ok()?.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&now, false).ok()?;
                Some(Time::from_micros(next.timestamp().as_microsecond()))
            }
        }
    }

    /// The last instant that is not after `now`; `None` when there is none.
    pub fn last(&self, now: Time) -> Option<Time> {
        match &self.rule {
            Rule::Immediate => Some(now),
            Rule::Every(step) => {
                let step = i64::try_from(step.as_micros()).ok()?;
                Some(Time::from_micros(now.micros().div_euclid(step) * step))
            }
            Rule::Cron(cron, zone) => {
                let now = Timestamp::from_microsecond(now.micros()).ok()?.to_zoned(zone.clone());
                let last = cron.find_previous_occurrence(&now, true).ok()?;
                Some(Time::from_micros(last.timestamp().as_microsecond()))
            }
        }
    }

    pub fn is_immediate(&self) -> bool {
        matches!(self.rule, Rule::Immediate)
    }
}

impl FromStr for Frequency {
    type Err = ();

    fn from_str(text: &str) -> Result<Frequency, ()> {
        let cron = |pattern| Ok(Rule::Cron(Box::new(parse_cron(pattern)?), TimeZone::UTC));
        let rule = match text {
            "immediate" => Ok(Rule::Immediate),
            "hourly" => cron("0 * * * *"),
            "daily" => cron("0 0 * * *"),
            "weekly" => cron("0 0 * * 1"),
            _ => match text.strip_prefix("every ") {
                Some(step) => parse_duration(step).map(Rule::Every),
                None => parse_zoned(text),
            },
        };
        Ok(Frequency { text: text.to_owned(), rule: rule? })
    }
}

/// `90s`, `5m`, `1h`, `2d`: from a second to a year.
fn parse_duration(text: &str) -> Result<Duration, ()> {
    let unit = text.chars().next_back().ok_or(())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(()),
    };
    let digits = &text[..text.len() - 1];
    if !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(());
    }
    let seconds = digits.parse::<u64>().map_err(drop)?.checked_mul(seconds).ok_or(())?;
    if (1..=MOST_DAYS * 24 * 3600).contains(&seconds) { Ok(Duration::from_secs(seconds)) } else { Err(()) }
}

/// A cron expression, the last word of which may be a time zone.
fn parse_zoned(text: &str) -> Result<Rule, ()> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (last, fields) = words.split_last().ok_or(())?;
    let names_zone = fields.len() >= 5 && last.starts_with(|it: char| it.is_ascii_alphabetic());
    // A last field such as MON is a day of the week, not a zone.
    let zone = if names_zone { TimeZone::get(last).ok() } else { None };
    let fields = if zone.is_some() { fields } else { &words };
    if !(5..=6).contains(&fields.len()) {
        return Err(());
    }
    let cron = parse_cron(&fields.join(" "))?;
    let frequency = Rule::Cron(Box::new(cron), zone.unwrap_or(TimeZone::UTC));
    Ok(frequency)
}

fn parse_cron(pattern: &str) -> Result<Cron, ()> {
    let parser = CronParser::builder().seconds(croner::parser::Seconds::Optional).build();
    let cron = parser.parse(pattern).map_err(drop)?;
    // 30 February is well-formed and never comes.
    let start = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    cron.find_next_occurrence(&start, false).map_err(drop)?;
    Ok(cron)
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Frequency {
    fn eq(&self, other: &Frequency) -> bool {
        self.text == other.text
    }
}

impl serde::Serialize for Frequency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    /// The instants after `from`, of a frequency.
    fn instants(frequency: &str, from: &str, count: usize) -> Vec<String> {
        let frequency: Frequency = frequency.parse().unwrap();
        let mut now = at(from);
        (0..count)
            .map(|_| {
                now = frequency.next(now).unwrap();
                now.to_string().replace(".000000Z", "Z")
            })
            .collect()
    }

    #[test]
    fn the_words_mean_what_they_say() {
        for (frequency, from, next) in [
            ("hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
            ("daily", "2026-01-01T00:00:01Z", "2026-01-02T00:00:00Z"),
            ("weekly", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z"),
            ("every 5m", "2026-01-01T00:04:59Z", "2026-01-01T00:05:00Z"),
            ("every 5m", "2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"),
            ("every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"),
            ("immediate", "2026-01-01T00:00:07Z", "2026-01-01T00:00:07Z"),
            ("*/15 * * * * *", "2026-01-01T00:00:07Z", "2026-01-01T00:00:15Z"),
            ("30 2 * * MON", "2026-01-01T00:00:00Z", "2026-01-05T02:30:00Z"),
            ("30 2 * * * Asia/Tokyo", "2026-01-01T00:00:00Z", "2026-01-01T17:30:00Z"),
        ] {
            assert_eq!(instants(frequency, from, 1), [next], "{frequency} after {from}");
        }
    }

    #[test]
    fn a_time_that_the_clocks_skip_runs_after_the_jump_and_one_they_repeat_runs_once() {
        assert_eq!(
            instants("30 2 * * * Europe/Berlin", "2026-03-28T00:00:00Z", 3),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            "02:30 does not exist on 29 March"
        );
        assert_eq!(
            instants("30 2 * * * Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            "02:30 comes twice on 25 October"
        );
        assert_eq!(
            instants("0 * * * * Europe/Berlin", "2026-10-24T23:00:00Z", 3),
            ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
            "an hourly task runs each hour that passes"
        );
    }

    #[test]
    fn the_last_instant_is_the_one_whose_next_is_still_to_come() {
        for text in
            ["hourly", "every 7m", "30 2 * * * Europe/Berlin", "0 * * * * Europe/Berlin", "* * * * * *"]
        {
            let frequency: Frequency = text.parse().unwrap();
            let mut now = at("2026-03-28T22:10:00Z");
            for _ in 0..200 {
                let last = frequency.last(now).unwrap();
                assert!(last <= now, "{text} at {now}");
                let next = frequency.next(last).unwrap();
                assert!(next > now, "{text} at {now}: {last}, then {next}");
                now = now.after(Duration::from_secs(17 * 60));
            }
        }
    }

    #[test]
    fn what_is_no_frequency_is_refused() {
        for bad in [
            "",
            "sometimes",
            "every",
            "every 5",
            "every 0s",
            "every -5m",
            "every 5 m",
            "every 400d",
            "* * * *",
            "61 * * * *",
            "0 0 30 2 *",
            "0 0 * * * Mars/Olympus",
            "0 0 * * * * * *",
        ] {
            assert!(bad.parse::<Frequency>().is_err(), "{bad}");
        }
    }
}
