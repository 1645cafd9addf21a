//! Telling of keys before they expire: thirty days before, seven, and one.
//!
//! What is to be told is planned when the key is made, one row each, and the row goes when its time has come: each is
//! told once, whatever happens in between. After a long down-time only the nearest is.

use std::time::Duration;

use crate::{
    kernel::{
        api::{
            call::Caller,
            principal::{ClientId, KeyId},
        },
        clock::Time,
        error::Result,
        events::worker::Job,
        store::{Key as _, ReadTx, Scan, WriteTx},
    },
    modules::client::{
        events::ApiKeyExpiring,
        model::key::{ApiKey, KeyStatus},
        repository::{KEY_WARNINGS, KEY_WARNINGS_BY_TIME, KEYS, KeyWarning},
    },
};

/// How many days before.
const DAYS: [u32; 3] = [30, 7, 1];
/// How many one transaction takes.
const PIECE: usize = 200;

type WarningKey = (ClientId, KeyId, u32);

/// Plans what is to be told of a key. Of a key that lives for a week nobody is told that it has a week left.
pub fn plan_warnings(tx: &mut WriteTx, client: ClientId, key: &ApiKey) -> Result<()> {
    let Some(expires_at) = key.expires_at else { return Ok(()) };
    for days in DAYS {
        let at = expires_at.before(Duration::from_secs(u64::from(days) * 24 * 3600));
        if at > tx.now() {
            tx.put(&KEY_WARNINGS, &(client, key.id, days), &KeyWarning { at })?;
        }
    }
    Ok(())
}

pub fn job() -> Job {
    Job { name: "client.key_warnings", due: std::sync::Arc::new(due), run: std::sync::Arc::new(run) }
}

fn due(tx: &ReadTx) -> Result<Option<Time>> {
    let first = tx.scan_index(&KEY_WARNINGS, KEY_WARNINGS_BY_TIME, Scan::all()).next().transpose()?;
    Ok(first.map(|it| it.1.at))
}

fn run(tx: &mut WriteTx) -> Result<()> {
    let now = tx.now();
    let end = Time::from_micros(now.micros().saturating_add(1)).to_key();
    let due = tx.scan_index(&KEY_WARNINGS, KEY_WARNINGS_BY_TIME, Scan::all().until(end)).take(PIECE);
    let due: Vec<WarningKey> = due.map(|it| Ok(it?.0)).collect::<Result<_>>()?;
    for row in due {
        tx.delete(&KEY_WARNINGS, &row)?;
        let (client, key_id, days) = row;
        let Some(key) = tx.get(&KEYS, &(client, key_id))?.filter(|it| it.status(now) == KeyStatus::Active)
        else {
            continue;
        };
        let nearer = DAYS.into_iter().filter(|it| *it < days);
        let is_nearest = |at: Option<KeyWarning>| at.is_none_or(|it| it.at > now);
        let mut tells = true;
        for days in nearer {
            tells &= is_nearest(tx.get(&KEY_WARNINGS, &(client, key_id, days))?);
        }
        if let Some(expires_at) = key.expires_at.filter(|_| tells) {
            let event = ApiKeyExpiring { key_id, name: key.name, expires_at, days };
            tx.publish(&Caller::system(Some(client)), &event)?;
        }
    }
    Ok(())
}
