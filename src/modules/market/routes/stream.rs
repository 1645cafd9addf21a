//! Prices as they come: server-sent events.
//!
//! One `price` for each market that has a new one, at most ten times a second: whoever reads slower gets fewer, and
//! always the newest. Its id is the price's, so that `Last-Event-ID` brings what has changed since.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use axum::body::Bytes;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, Streamed, get},
            input::input,
            principal::ClientId,
        },
        error::Result,
    },
    modules::market::{
        board::Board,
        contract::{MarketId, PriceId},
        service::MarketService,
    },
};

input! {
    pub struct StreamQuery {
        /// Prices behind this one.
        after: Option<PriceId>,
        /// Of these markets, separated by commas; of all when omitted.
        market_ids: Option<Vec<MarketId>>,
    }
}

/// A stream ends by itself and its reader comes back: a key that was revoked does not listen for ever.
const LASTS: Duration = Duration::from_secs(300);
/// Something is sent at least this often, so that both sides notice when the other is gone.
const BEAT: Duration = Duration::from_secs(15);
/// Prices gather for this long.
const GATHERED: Duration = Duration::from_millis(100);

pub fn endpoints(service: &Arc<MarketService>) -> Vec<Endpoint> {
    let board = service.board.clone();
    vec![
        get("/markets/stream")
            .about("Hear prices as they come (server-sent events)")
            .public()
            .streams(move |_, call: Call<(), StreamQuery>, stop| stream(board.clone(), call, stop)),
    ]
}

struct Listening {
    board: Arc<Board>,
    client: ClientId,
    wanted: Option<HashSet<MarketId>>,
    after: Option<PriceId>,
    /// The last price sent of each market.
    said: HashMap<MarketId, PriceId>,
    changes: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    ends_at: Instant,
}

fn stream(board: Arc<Board>, call: Call<(), StreamQuery>, stop: watch::Receiver<bool>) -> Result<Streamed> {
    let listening = Listening {
        client: call.caller.client()?,
        wanted: call.input.market_ids.map(|it| it.into_iter().collect()),
        after: call.input.after,
        said: HashMap::new(),
        changes: board.changes(),
        board,
        stop,
        ends_at: Instant::now() + LASTS,
    };
    Ok(Box::pin(futures_util::stream::unfold(listening, next)))
}

async fn next(mut it: Listening) -> Option<(Bytes, Listening)> {
    loop {
        it.changes.borrow_and_update();
        let text = it.frames();
        if !text.is_empty() {
            return Some((text.into(), it));
        }
        let is_quiet = tokio::select! {
            changed = it.changes.changed() => changed.ok().map(|()| false)?,
            Ok(_) = it.stop.wait_for(|it| *it) => return None,
            () = sleep_until(it.ends_at) => return None,
            () = sleep(BEAT) => true,
        };
        if is_quiet {
            return Some((Bytes::from_static(b":\n\n"), it));
        }
        sleep(GATHERED).await;
    }
}

impl Listening {
    /// What was not said yet.
    fn frames(&mut self) -> String {
        let mut text = String::new();
        for live in self.board.markets(self.client).all() {
            let is_wanted = self.wanted.as_ref().is_none_or(|it| it.contains(&live.id));
            let Some(latest) = live.latest().filter(|_| is_wanted) else { continue };
            let known = self.said.get(&live.id).copied().or(self.after);
            if known.is_some_and(|it| latest.id <= it) {
                continue;
            }
            self.said.insert(live.id, latest.id);
            let (id, price) = (latest.id, &latest.price);
            let data = json!({
                "market_id": live.id, "base": live.base, "quote": live.quote, "price_id": id,
                "bid": price.quote.bid, "ask": price.quote.ask, "mid": price.quote.mid,
                "source": price.source, "observed_at": price.observed_at, "sequence": price.sequence,
            });
            text.push_str(&format!("id: {id}\nevent: price\ndata: {data}\n\n"));
        }
        text
    }
}
