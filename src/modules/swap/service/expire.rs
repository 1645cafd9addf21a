//! Quotes whose time has passed. They are refused from that instant on; the timer only says so in their state.

use std::sync::Arc;

use crate::{
    kernel::{
        api::call::Caller,
        clock::Time,
        error::Result,
        events::worker::Job,
        store::{Key as _, Scan, WriteTx},
    },
    modules::swap::{
        model::{QUOTE, QuoteEvent},
        repository::{QUOTES, QUOTES_DUE},
    },
};

/// How many quotes one transaction of the timer takes.
const BATCH: usize = 100;

pub fn job() -> Job {
    Job {
        name: "swap.quotes",
        due: Arc::new(|tx| {
            let first = tx.scan_index(&QUOTES, QUOTES_DUE, Scan::all()).next().transpose()?;
            Ok(first.map(|(_, quote)| quote.expires_at))
        }),
        run: Arc::new(expire),
    }
}

fn expire(tx: &mut WriteTx) -> Result<()> {
    let end = Time::from_micros(tx.now().micros() + 1).to_key();
    let due = tx.scan_index(&QUOTES, QUOTES_DUE, Scan::all().until(end)).take(BATCH);
    for (key, mut quote) in due.collect::<Result<Vec<_>>>()? {
        let caller = Caller::system(Some(key.0));
        quote.history.step(&QUOTE, QuoteEvent::Expire, &caller, None, tx.now())?;
        quote.stamp.touch(tx.now());
        tx.put(&QUOTES, &key, &quote)?;
    }
    Ok(())
}
