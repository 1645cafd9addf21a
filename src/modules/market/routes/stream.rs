//! Prices as they come: server-sent events.
//!
//! One `price` for each market that has a new one, at most ten times a second: whoever reads slower gets fewer, and
//! always the newest. Its id is the price's, so that `Last-Event-ID` brings what has changed since.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::sync::watch;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, Streamed, get},
            input::input,
            principal::ClientId,
            stream::{Frames, frame, listen},
        },
        error::Result,
    },
    modules::market::{
        board::{Board, Live},
        contract::{MarketId, PriceId},
        model::price::Latest,
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
}

fn stream(board: Arc<Board>, call: Call<(), StreamQuery>, stop: watch::Receiver<bool>) -> Result<Streamed> {
    let changes = board.changes();
    let mut listening = Listening {
        client: call.caller.client()?,
        wanted: call.input.market_ids.map(|it| it.into_iter().collect()),
        after: call.input.after,
        said: HashMap::new(),
        board,
    };
    Ok(listen(changes, stop, GATHERED, move || Ok(Frames::all(listening.news()))))
}

impl Listening {
    /// What was not said yet.
    fn news(&mut self) -> String {
        let mut text = String::new();
        for live in self.board.markets(self.client).all() {
            let is_wanted = self.wanted.as_ref().is_none_or(|it| it.contains(&live.id));
            let Some(latest) = live.latest().filter(|_| is_wanted) else { continue };
            let known = self.said.get(&live.id).copied().or(self.after);
            if known.is_some_and(|it| latest.id <= it) {
                continue;
            }
            self.said.insert(live.id, latest.id);
            text.push_str(latest.frame(|latest| shown(live, latest)));
        }
        text
    }
}

fn shown(live: &Live, Latest { id, price }: &Latest) -> String {
    let data = json!({
        "market_id": live.id, "base": live.base, "quote": live.quote, "price_id": id,
        "bid": price.quote.bid, "ask": price.quote.ask, "mid": price.quote.mid,
        "source": price.source, "observed_at": price.observed_at, "sequence": price.sequence,
    });
    frame(id, "price", &data.to_string())
}
