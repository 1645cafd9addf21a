//! Takes away what has expired: sessions, spent refresh tokens, tries to sign in, tokens in mails, devices, half
//! sign-ins, operators' sign-ins.

use std::sync::Arc;

use super::{
    devices::{self, DEVICES},
    factor::{CHALLENGES, CHALLENGES_BY_EXPIRY},
    lock::{self, TRIES},
    mail_token::{self, MAIL_TOKENS},
    operator::{OPERATOR_TOKENS, SETUP_TOKENS, TOKENS_BY_EXPIRY},
    repository::{BY_EXPIRY, SESSIONS, SPENT, SPENT_BY_EXPIRY, first, sweep},
};
use crate::kernel::{
    clock::Time,
    error::Result,
    events::worker::Job,
    store::{ReadTx, Scan, WriteTx},
};

pub fn sweeper() -> Job {
    Job { name: "auth.sweep", due: Arc::new(due), run: Arc::new(run) }
}

fn due(tx: &ReadTx) -> Result<Option<Time>> {
    let setup = tx.scan(&SETUP_TOKENS, Scan::all()).next().transpose()?;
    let firsts = [
        first(tx, &SESSIONS, BY_EXPIRY)?.map(|it| it.expires_at),
        first(tx, &SPENT, SPENT_BY_EXPIRY)?.map(|it| it.expires_at),
        first(tx, &TRIES, lock::BY_EXPIRY)?.map(|it| it.expires_at),
        first(tx, &MAIL_TOKENS, mail_token::BY_EXPIRY)?.map(|it| it.token.expires_at),
        first(tx, &DEVICES, devices::BY_EXPIRY)?.map(|it| it.expires_at),
        first(tx, &CHALLENGES, CHALLENGES_BY_EXPIRY)?.map(|it| it.expires_at),
        first(tx, &OPERATOR_TOKENS, TOKENS_BY_EXPIRY)?.and_then(|it| it.expires_at),
        setup.map(|(_, it)| it.expires_at),
    ];
    Ok(firsts.into_iter().flatten().min())
}

fn run(tx: &mut WriteTx) -> Result<()> {
    sweep(tx, &SESSIONS, BY_EXPIRY)?;
    sweep(tx, &SPENT, SPENT_BY_EXPIRY)?;
    sweep(tx, &TRIES, lock::BY_EXPIRY)?;
    sweep(tx, &MAIL_TOKENS, mail_token::BY_EXPIRY)?;
    sweep(tx, &DEVICES, devices::BY_EXPIRY)?;
    sweep(tx, &CHALLENGES, CHALLENGES_BY_EXPIRY)?;
    sweep(tx, &OPERATOR_TOKENS, TOKENS_BY_EXPIRY)?;
    let setup = tx.scan(&SETUP_TOKENS, Scan::all()).next().transpose()?;
    match setup.filter(|(_, it)| it.expires_at <= tx.now()) {
        Some((hash, _)) => tx.delete(&SETUP_TOKENS, &hash).map(drop),
        None => Ok(()),
    }
}
