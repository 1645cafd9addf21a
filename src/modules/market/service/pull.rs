//! Asking providers for prices.
//!
//! ```text
//! timer     a market's time has come: a delivery of kind `market.fetch`, unless the last one still runs
//! claim     prepare   is it still to be asked?
//!           send      providers in their order, until enough have answered; then the price is taken as a sent one is
//! ```
//!
//! A request that fails is not tried again: the next interval is.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hyper::{
    HeaderMap, Method,
    header::{HeaderName, HeaderValue},
};

use super::{MarketService, NewPrice};
use crate::{
    kernel::{
        api::{call::Caller, principal::ClientId},
        error::Result,
        events::{
            courier::{Courier, OnInterrupted, Outcome, Ready, Report, Sending, TargetPlan},
            dedupe::DedupePolicy,
            delivery::Lane,
            enqueue::NewDelivery,
            retry::RetryPolicy,
            worker::Job,
        },
        money::AmountText,
        net::Outgoing,
        store::WriteTx,
    },
    modules::market::{
        board::{Board, Live},
        contract::MarketId,
        events::ProviderFailed,
        model::{
            feed::{Provider, Pull, median},
            price::{Quote, Sent},
        },
    },
};

/// The kind of the deliveries. Stored: never renamed.
pub const KIND: &str = "market.fetch";
/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is small; what is behind this is not read.
const MOST_BYTES: usize = 256 * 1024;
/// Markets whose turn comes in one transaction.
const AT_ONCE: usize = 50;

pub fn plan() -> TargetPlan {
    TargetPlan {
        queue: "market",
        lane: Lane::Low,
        retry: Some(RetryPolicy { tries: 1, backoff_s: vec![], jitter_percent: 0 }),
        // Five providers, one after the other.
        timeout: Some(PATIENCE * 6),
        at_once: 1,
        on_interrupted: OnInterrupted::Retry,
    }
}

/// Leaves a delivery for each market whose providers are to be asked.
pub fn job(board: Arc<Board>) -> Job {
    let due = board.clone();
    Job {
        name: "market.pull",
        due: Arc::new(move |_| Ok(due.next_pull())),
        run: Arc::new(move |tx| {
            board.due(tx.now(), AT_ONCE).into_iter().try_for_each(|(client, live)| leave(tx, client, &live))
        }),
    }
}

fn leave(tx: &mut WriteTx, client: ClientId, live: &Live) -> Result<()> {
    let target = live.id.to_string();
    let interval = live.pull.as_ref().map_or(60, |it| it.interval_s);
    let until = tx.now().after(Duration::from_secs(u64::from(interval)));
    let delivery = NewDelivery::to(KIND, target.clone()).of_client(Some(client));
    let delivery = delivery.deliver_before(until).dedupe(KIND, &target, DedupePolicy::WhilePending);
    tx.enqueue(delivery).map(drop)
}

/// Asks for the price of one market.
pub struct Fetch(pub Arc<MarketService>);

impl Courier for Fetch {
    type Material = (ClientId, Arc<Live>);

    fn prepare(&self, _: &mut WriteTx, job: &Sending) -> Result<Ready<Self::Material>> {
        let id = job.target.parse::<MarketId>().ok();
        let live = job.client.zip(id).and_then(|(client, id)| {
            let live = self.0.board.markets(client).get(id).cloned()?;
            live.is_pulled().then_some((client, live))
        });
        Ok(live.map_or(Ready::Gone, Ready::Go))
    }

    fn send(
        &self,
        _: Sending,
        (client, live): Self::Material,
    ) -> impl Future<Output = Report> + Send + 'static {
        let service = self.0.clone();
        async move {
            match service.fetch(client, &live).await {
                Ok(()) => Outcome::Ok.into(),
                Err(why) => Outcome::Reject(why).into(),
            }
        }
    }
}

impl MarketService {
    async fn fetch(&self, client: ClientId, live: &Live) -> Result<(), String> {
        let Some(pull) = live.pull.clone() else { return Ok(()) };
        let asked = ask(&pull, |provider| Box::pin(self.ask_one(client, live, provider))).await;
        let caller = Caller::system(Some(client));
        match asked {
            Ok((quote, source)) => {
                live.is_failing.store(false, Ordering::Relaxed);
                let new =
                    NewPrice { market: live.id, sent: sent(quote)?, observed_at: None, source, forced: None };
                let taken = self.take(&caller, client, vec![new]).await.map_err(|error| error.to_string())?;
                taken.into_iter().try_for_each(|it| it.map(drop).map_err(|error| error.to_string()))
            }
            Err(reason) => {
                // Once, until they answer again.
                if !live.is_failing.swap(true, Ordering::Relaxed) {
                    let (market_id, base, quote) = (live.id, live.base, live.quote);
                    let event = ProviderFailed { market_id, base, quote, reason: reason.clone() };
                    let published = self.books.write(move |tx| tx.publish(&caller, &event)).await;
                    published.map_err(|error| error.to_string())?;
                }
                Err(reason)
            }
        }
    }

    async fn ask_one(&self, client: ClientId, live: &Live, provider: Provider) -> Result<Quote, String> {
        let headers = self.headers(client, &provider)?;
        let request = Outgoing {
            method: Method::GET,
            url: provider.url_for(live.base, live.quote),
            headers,
            body: vec![],
            timeout: PATIENCE,
            most_bytes: MOST_BYTES,
        };
        let answer = self.net.send(request).await.map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("answered {}", answer.status));
        }
        provider.read(&answer.body)
    }
}

impl MarketService {
    /// What is sent along. The secret is read for each request and kept nowhere; nobody is told what is wrong with it.
    fn headers(&self, client: ClientId, provider: &Provider) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let named = provider.header_name.as_ref().zip(provider.header_secret.as_ref());
        let Some((header, named)) = named else { return Ok(headers) };
        let secret = self.books.read(|tx| self.clients.secret(tx, client, named));
        let secret = secret.map_err(|error| error.to_string())?;
        let secret = secret.ok_or_else(|| format!("there is no secret {named}"))?;
        let unfit = |_| format!("the secret {named} does not fit into a header");
        let mut value = HeaderValue::from_bytes(&secret).map_err(unfit)?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(header.as_bytes()).map_err(|_| format!("{header} is no header"))?;
        headers.insert(name, value);
        Ok(headers)
    }
}

/// A provider that is being asked.
type Asking<'a> = Pin<Box<dyn Future<Output = Result<Quote, String>> + Send + 'a>>;

/// Asks the providers in their order until as many as are wanted have answered: their median, and who said so.
async fn ask<'a>(
    pull: &Pull,
    mut quote_of: impl FnMut(Provider) -> Asking<'a>,
) -> Result<(Quote, String), String> {
    let wanted = pull.median_of.max(1) as usize;
    let (mut quotes, mut names, mut failures) = (vec![], vec![], vec![]);
    for provider in &pull.providers {
        match quote_of(provider.clone()).await {
            Ok(quote) => {
                quotes.push(quote);
                names.push(provider.name.as_str());
            }
            Err(why) => failures.push(format!("{}: {why}", provider.name)),
        }
        if quotes.len() == wanted {
            break;
        }
    }
    if quotes.len() < wanted {
        return Err(format!("{} of {wanted} answered; {}", quotes.len(), failures.join("; ")));
    }
    let source = if wanted == 1 { names.join(",") } else { format!("median({})", names.join(",")) };
    median(quotes).map(|it| (it, source)).ok_or_else(|| "their answers have no middle".to_owned())
}

/// As if it had been sent: the same guards hold.
fn sent(quote: Quote) -> Result<Sent, String> {
    let text = |it: crate::kernel::money::RateValue| {
        it.to_string().parse::<AmountText>().map_err(|()| format!("{it} is no price"))
    };
    Ok(Sent::BidAsk(text(quote.bid)?, text(quote.ask)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(median_of: u32) -> Pull {
        let provider = |name: &str| Provider {
            name: name.into(),
            url: String::new(),
            price_path: None,
            bid_path: None,
            ask_path: None,
            header_name: None,
            header_secret: None,
        };
        Pull { interval_s: 60, median_of, providers: ["a", "b", "c"].map(provider).to_vec() }
    }

    #[tokio::test]
    async fn the_next_provider_stands_in_for_one_that_fails() {
        for (median_of, answers, wanted) in [
            (1, [Ok("1"), Ok("2"), Ok("3")], Ok(("1", "a"))),
            (1, [Err("down"), Ok("2"), Ok("3")], Ok(("2", "b"))),
            (3, [Ok("1"), Ok("2"), Ok("9")], Ok(("2", "median(a,b,c)"))),
            (2, [Ok("1"), Err("down"), Ok("3")], Ok(("2", "median(a,c)"))),
            (2, [Err("down"), Err("late"), Ok("3")], Err("1 of 2 answered; a: down; b: late")),
        ] {
            let pull = pull(median_of);
            let found = ask(&pull, |provider| {
                let at = (provider.name.as_bytes()[0] - b'a') as usize;
                let answer = answers[at].map(|it| Quote::single(it.parse().unwrap()));
                Box::pin(async move { answer.map_err(str::to_owned) })
            });
            let found = found.await.map(|(quote, source)| (quote.mid.to_string(), source));
            assert_eq!(found, wanted.map(|(mid, by)| (mid.into(), by.into())).map_err(str::to_owned));
        }
    }
}
