//! What is stored about people being told, and the rules over it. No transaction here.

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};

use super::{
    contract::{Channel, DigestEvery, Locale, NotificationRefusal, TemplateId, Topic},
    template::Words,
};
use crate::kernel::{
    api::{
        object::{Stamp, stamped},
        principal::UserId,
    },
    clock::Time,
    events::{delivery::DeliveryId, event::EventId},
    store::codec::{Decode, Encode, row},
};

/// What somebody was told, in its inbox.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Notification {
    pub event: EventId,
    pub event_type: String,
    pub topic: Topic,
    /// The id of what it is about.
    pub entity: String,
    pub title: String,
    pub message: String,
    pub action_url: Option<String>,
    pub action_text: Option<String>,
    /// The payload of the event, as JSON.
    pub data: String,
    pub read_at: Option<Time>,
    pub archived_at: Option<Time>,
    /// The owner's last mark when this was last marked, or made: marking all as read counts as later.
    pub marked: u64,
    /// Deleted from then on.
    pub keep_until: Time,
    pub created_at: Time,
    pub updated_at: Time,
    pub version: u64,
}
row!(Notification);

/// What is counted of an inbox, and what was said of all of it at once.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Inbox {
    /// Invariant: as many as a scan finds unread.
    pub unread: u64,
    /// Numbers every mark, so that "all of it" needs no change of each row.
    pub marks: u64,
    /// Everything marked before this number is read.
    pub all_read: u64,
    pub all_read_at: Option<Time>,
}
row!(Inbox);

/// How long a notification is kept that nobody read, and one that was.
const KEEP_UNREAD: Duration = Duration::from_secs(90 * 24 * 3600);
const KEEP_READ: Duration = Duration::from_secs(30 * 24 * 3600);

impl Inbox {
    pub fn is_unread(&self, it: &Notification) -> bool {
        it.archived_at.is_none() && self.read_at(it).is_none()
    }

    pub fn read_at(&self, it: &Notification) -> Option<Time> {
        it.read_at.or(self.all_read_at.filter(|_| it.marked < self.all_read))
    }

    /// Numbers a mark.
    pub fn next_mark(&mut self) -> u64 {
        self.marks += 1;
        self.marks
    }

    pub fn mark_all_read(&mut self, now: Time) {
        self.all_read = self.next_mark();
        self.all_read_at = Some(now);
        self.unread = 0;
    }
}

impl Notification {
    pub fn kept_from(created_at: Time) -> Time {
        created_at.after(KEEP_UNREAD)
    }

    pub fn set_read(&mut self, read: bool, mark: u64, now: Time) {
        self.read_at = read.then_some(now);
        self.marked = mark;
        let unread_until = Notification::kept_from(self.created_at);
        self.keep_until = if read { now.after(KEEP_READ).min(unread_until) } else { unread_until };
    }
}

/// How somebody wants to be told.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Preferences {
    /// At most one for each topic and channel.
    pub choices: Vec<Choice>,
    pub quiet_hours: Option<QuietHours>,
    pub locale: Option<Locale>,
    /// Mails that may wait gather until then. `None`: each is sent when it is due.
    pub mail_digest: Option<DigestEvery>,
    pub updated_at: Option<Time>,
    /// Zero until something was said.
    pub version: u64,
}
row!(Preferences, 2, { 1 => PreferencesV1 });

/// Before there were digests.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct PreferencesV1 {
    choices: Vec<Choice>,
    quiet_hours: Option<QuietHours>,
    locale: Option<Locale>,
    updated_at: Option<Time>,
    version: u64,
}

impl From<PreferencesV1> for Preferences {
    fn from(old: PreferencesV1) -> Preferences {
        let PreferencesV1 { choices, quiet_hours, locale, updated_at, version } = old;
        Preferences { choices, quiet_hours, locale, mail_digest: None, updated_at, version }
    }
}

/// The last digest of somebody. Whether it can still grow, its delivery says.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct OpenDigest {
    pub delivery: DeliveryId,
}
row!(OpenDigest);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Choice {
    pub topic: Topic,
    pub channel: Channel,
    pub enabled: bool,
}

/// When not to be woken: from one time of day to another, the next day when it is the earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct QuietHours {
    /// Minutes after midnight.
    pub from: u16,
    pub to: u16,
    pub time_zone: String,
}

impl Preferences {
    /// Whether something about `topic` is told by `channel`. Security first, then what was chosen, then `usual`.
    pub fn wants(&self, topic: Topic, channel: Channel, usual: bool) -> bool {
        if topic == Topic::Security && usual {
            return true;
        }
        let choice = self.choices.iter().find(|it| (it.topic, it.channel) == (topic, channel));
        choice.map_or(usual, |it| it.enabled)
    }

    /// Refuses to switch off what must arrive.
    pub fn check(&self) -> Result<(), NotificationRefusal> {
        let off = self
            .choices
            .iter()
            .find(|it| it.topic == Topic::Security && !it.enabled && it.channel != Channel::Sms);
        off.map_or(Ok(()), |it| Err(NotificationRefusal::NoticeRequired { channel: it.channel }))
    }

    /// When something about `topic` may arrive that happens at `now`: later, when that is in quiet hours.
    pub fn not_before(&self, topic: Topic, now: Time) -> Option<Time> {
        if topic == Topic::Security {
            return None;
        }
        self.quiet_hours.as_ref()?.end(now)
    }
}

impl Preferences {
    /// When the digest is sent that a mail about `topic` becomes part of, made at `now`; `None` when it stands alone.
    pub fn digest_at(&self, topic: Topic, now: Time) -> Option<Time> {
        let every = self.mail_digest.filter(|_| topic != Topic::Security)?;
        let quiet = self.quiet_hours.as_ref();
        let slot = every.next(quiet.map_or("UTC", |it| &it.time_zone), now)?;
        Some(quiet.and_then(|it| it.end(slot)).unwrap_or(slot))
    }
}

impl DigestEvery {
    fn next(self, time_zone: &str, now: Time) -> Option<Time> {
        const HOUR: i64 = 3_600_000_000;
        if self == DigestEvery::Hourly {
            return Some(Time::from_micros((now.micros().div_euclid(HOUR) + 1) * HOUR));
        }
        let zone = TimeZone::get(time_zone).ok()?;
        let today = Timestamp::from_microsecond(now.micros()).ok()?.to_zoned(zone.clone()).date();
        let morning = |date: civil::Date| {
            let at = date.at(8, 0, 0, 0).to_zoned(zone.clone()).ok()?;
            Some(Time::from_micros(at.timestamp().as_microsecond()))
        };
        morning(today).filter(|it| *it > now).or_else(|| morning(today.tomorrow().ok()?))
    }
}

impl QuietHours {
    /// When the quiet hours end that `now` is in.
    pub fn end(&self, now: Time) -> Option<Time> {
        let zone = TimeZone::get(&self.time_zone).ok()?;
        let local = Timestamp::from_microsecond(now.micros()).ok()?.to_zoned(zone.clone());
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let (quiet, ends_tomorrow) = if self.from <= self.to {
            (self.from <= minute && minute < self.to, false)
        } else {
            (minute >= self.from || minute < self.to, minute >= self.from)
        };
        if !quiet {
            return None;
        }
        let date = if ends_tomorrow { local.date().tomorrow().ok()? } else { local.date() };
        let at = civil::time((self.to / 60) as i8, (self.to % 60) as i8, 0, 0);
        // A time that a change of the clocks leaves out comes when the clocks have changed.
        let end = date.to_datetime(at).to_zoned(zone).ok()?;
        Some(Time::from_micros(end.timestamp().as_microsecond())).filter(|it| *it > now)
    }

    pub fn is_zone(name: &str) -> bool {
        TimeZone::get(name).is_ok()
    }
}

/// `22:30`, in minutes after midnight.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |part: &str, below: u16| {
        let digits = part.len() == 2 && part.bytes().all(|it| it.is_ascii_digit());
        part.parse::<u16>().ok().filter(|it| digits && *it < below)
    };
    Some(two(hours, 24)? * 60 + two(minutes, 60)?)
}

pub fn show_minute(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// A client's own words for one event, in one language.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Template {
    pub id: TemplateId,
    pub event_type: String,
    /// `None`: for every language that has no template of its own.
    pub locale: Option<Locale>,
    /// Used; otherwise it is as if it were not there.
    pub is_active: bool,
    pub words: Words,
    pub stamp: Stamp,
}
row!(Template);
stamped!(Template);

/// The words a template had in one version.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct TemplateVersion {
    pub words: Words,
    pub made_at: Time,
}
row!(TemplateVersion);

/// Whose inbox.
pub type Owner = (crate::kernel::api::principal::ClientId, UserId);

#[cfg(test)]
mod tests {
    use super::*;

    fn preferring(choices: &[(Topic, Channel, bool)]) -> Preferences {
        let choice = |&(topic, channel, enabled): &(Topic, Channel, bool)| Choice { topic, channel, enabled };
        Preferences { choices: choices.iter().map(choice).collect(), ..Preferences::default() }
    }

    #[test]
    fn security_comes_first_then_what_was_chosen_then_what_is_usual() {
        use Channel::{Database, Mail, Sms};
        use Topic::{Fundings, Security, Withdrawals};
        let off = preferring(&[(Fundings, Mail, false), (Fundings, Sms, true), (Security, Mail, false)]);
        for (topic, channel, usual, wanted) in [
            (Security, Mail, true, true),
            (Security, Sms, false, false),
            (Fundings, Mail, true, false),
            (Fundings, Sms, false, true),
            (Fundings, Database, true, true),
            (Withdrawals, Mail, true, true),
            (Withdrawals, Mail, false, false),
        ] {
            assert_eq!(off.wants(topic, channel, usual), wanted, "{topic} {channel} {usual}");
        }
        assert!(off.check().is_err());
        assert!(preferring(&[(Security, Sms, false), (Security, Mail, true)]).check().is_ok());
    }

    #[test]
    fn quiet_hours_postpone_to_their_end() {
        let night = |from: &str, to: &str, zone: &str| QuietHours {
            from: minute_of_day(from).unwrap(),
            to: minute_of_day(to).unwrap(),
            time_zone: zone.into(),
        };
        for (from, to, zone, now, end) in [
            ("22:00", "07:00", "UTC", "2026-01-01T21:59:59Z", None),
            ("22:00", "07:00", "UTC", "2026-01-01T22:00:00Z", Some("2026-01-02T07:00:00Z")),
            ("22:00", "07:00", "UTC", "2026-01-02T06:59:59Z", Some("2026-01-02T07:00:00Z")),
            ("22:00", "07:00", "UTC", "2026-01-02T07:00:00Z", None),
            ("22:00", "07:00", "Europe/Vienna", "2026-07-01T20:30:00Z", Some("2026-07-02T05:00:00Z")),
            ("12:00", "13:00", "UTC", "2026-01-01T12:30:00Z", Some("2026-01-01T13:00:00Z")),
            ("12:00", "13:00", "UTC", "2026-01-01T13:00:00Z", None),
            // 02:30 does not exist in the night the clocks go forward.
            ("22:00", "02:30", "Europe/Vienna", "2026-03-28T22:00:00Z", Some("2026-03-29T01:30:00Z")),
            ("09:00", "09:00", "UTC", "2026-01-01T09:00:00Z", None),
        ] {
            let found = night(from, to, zone).end(Time::parse(now).unwrap());
            assert_eq!(found, end.and_then(Time::parse), "{from} {to} {zone} {now}");
        }
    }

    #[test]
    fn a_digest_is_sent_at_the_hour_or_in_the_morning_and_not_at_night() {
        use DigestEvery::{Daily, Hourly};
        let night = |zone: &str| QuietHours { from: 22 * 60, to: 9 * 60, time_zone: zone.into() };
        for (every, quiet, now, at) in [
            (Hourly, None, "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"),
            (Hourly, None, "2026-01-01T12:59:59.999999Z", "2026-01-01T13:00:00Z"),
            (Hourly, Some(night("UTC")), "2026-01-01T21:30:00Z", "2026-01-02T09:00:00Z"),
            (Daily, None, "2026-01-01T07:59:59Z", "2026-01-01T08:00:00Z"),
            (Daily, None, "2026-01-01T08:00:00Z", "2026-01-02T08:00:00Z"),
            (Daily, Some(night("Europe/Vienna")), "2026-07-01T12:00:00Z", "2026-07-02T07:00:00Z"),
        ] {
            let preferences =
                Preferences { mail_digest: Some(every), quiet_hours: quiet, ..Preferences::default() };
            let now = Time::parse(now).unwrap();
            assert_eq!(preferences.digest_at(Topic::Fundings, now), Time::parse(at), "{every} {now}");
            assert_eq!(preferences.digest_at(Topic::Security, now), None);
        }
        assert_eq!(Preferences::default().digest_at(Topic::Fundings, Time::ZERO), None);
    }

    #[test]
    fn security_does_not_wait_for_the_morning() {
        let quiet = QuietHours { from: 0, to: 1439, time_zone: "UTC".into() };
        let preferences = Preferences { quiet_hours: Some(quiet), ..Preferences::default() };
        let now = Time::parse("2026-01-01T12:00:00Z").unwrap();
        assert_eq!(preferences.not_before(Topic::Security, now), None);
        assert!(preferences.not_before(Topic::Fundings, now).is_some());
    }

    #[test]
    fn a_time_of_day_has_two_digits_each() {
        assert_eq!((minute_of_day("00:00"), minute_of_day("23:59")), (Some(0), Some(1439)));
        for wrong in ["24:00", "7:00", "07:60", "0700", "07:0a", "+7:00", ""] {
            assert_eq!(minute_of_day(wrong), None, "{wrong}");
        }
        assert_eq!(show_minute(425), "07:05");
    }
}
