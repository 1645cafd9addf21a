//! How somebody wants to be told.

use crate::{
    kernel::{
        api::{call::Call, input::Flaw},
        error::Result,
        store::WriteTx,
    },
    modules::notification::{
        model::{Choice, Owner, Preferences, QuietHours, minute_of_day},
        repository::{PREFERENCES, preferences},
        routes::preferences::PreferencesIn,
    },
};

/// Replaces what was said before. Refuses `notice_required`.
pub fn replace(tx: &mut WriteTx, owner: Owner, call: &Call<(), PreferencesIn>) -> Result<Preferences> {
    let before = preferences(tx, owner)?;
    call.caller.check_version(before.version)?;
    let input = &call.input;
    let mut choices: Vec<Choice> = vec![];
    for (place, it) in input.choices.iter().enumerate() {
        if choices.iter().any(|other| (other.topic, other.channel) == (it.topic, it.channel)) {
            let param = format!("choices[{place}]");
            return Err(
                Flaw::new(&param, "not_allowed", "says something of this topic and channel again").into()
            );
        }
        choices.push(Choice { topic: it.topic, channel: it.channel, enabled: it.enabled });
    }
    let quiet_hours = match &input.quiet_hours {
        None => None,
        Some(it) => {
            let minute = |param: &str, text: &str| {
                minute_of_day(text)
                    .ok_or_else(|| Flaw::new(param, "invalid_format", "must be a time of day such as 22:00"))
            };
            let from = minute("quiet_hours.from", &it.from)?;
            let to = minute("quiet_hours.to", &it.to)?;
            if !QuietHours::is_zone(&it.time_zone) {
                let wanted = "must be a time zone such as Europe/Vienna";
                return Err(Flaw::new("quiet_hours.time_zone", "invalid_format", wanted).into());
            }
            Some(QuietHours { from, to, time_zone: it.time_zone.clone() })
        }
    };
    let after = Preferences {
        choices,
        quiet_hours,
        locale: input.locale.clone(),
        mail_digest: input.mail_digest,
        updated_at: Some(tx.now()),
        version: before.version + 1,
    };
    after.check()?;

    tx.put(&PREFERENCES, &owner, &after)?;
    Ok(after)
}
