//! Addresses: the payer sends to one that belongs to its attempt alone, and what arrives there is told by a watcher
//! (a signed notice, see `inbound/`) or asked of an explorer of the Esplora kind, for Bitcoin.
//!
//! A transfer counts when it has as many confirmations as the gateway wants for its amount; until then it is only
//! seen. A transfer that was seen and is gone (a reorganisation, a replacement) was never counted.
//! Sending out is done by a person: no private key is ever here.

use std::{sync::Arc, time::Duration};

use hyper::{HeaderMap, Method};
use serde_json::Value;

use super::{Access, Adapter, Answering, AttemptOutcome, AttemptRequest, Notice, at_once, http::TIMEOUT_S};
use crate::{
    kernel::{
        money::Amount,
        net::{Net, Outgoing},
    },
    modules::payment::{
        contract::{PayoutOutcome, PayoutRequest},
        model::Setup,
    },
};

/// How often an explorer is asked while the payer is awaited, or confirmations are.
pub const POLL: Duration = Duration::from_secs(60);

/// An address of a payment has a handful of transactions, each of some kilobytes.
const MOST_BYTES: usize = 512 * 1024;

pub struct Crypto {
    pub net: Arc<Net>,
}

/// Money on its way to an address of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Transaction and output: the same money for ever.
    pub reference: String,
    pub amount: Amount,
    pub confirmations: u64,
}

impl Transfer {
    /// What it says of its attempt: it counts once it has the confirmations its amount needs.
    pub fn notice(self, setup: &Setup) -> Notice {
        let Transfer { reference, amount, confirmations } = self;
        if confirmations >= u64::from(setup.confirmations_for(amount)) {
            return Notice::Settled { reference, amount };
        }
        Notice::Seen { reference, ask_after: setup.base_url.is_some().then_some(POLL) }
    }
}

impl Crypto {
    fn get(&self, setup: &Setup, path: &str) -> impl Future<Output = Result<Value, String>> + Send + use<> {
        let base = setup.base_url.clone().unwrap_or_default();
        let request = Outgoing {
            method: Method::GET,
            url: format!("{}/{path}", base.trim_end_matches('/')),
            headers: HeaderMap::new(),
            body: vec![],
            timeout: Duration::from_secs(setup.timeout_s.unwrap_or(TIMEOUT_S).into()),
            most_bytes: MOST_BYTES,
        };
        let net = self.net.clone();
        async move {
            let answer = net.send(request).await.map_err(|it| it.to_string())?;
            if !answer.status.is_success() {
                return Err(format!("the explorer answered {}", answer.status.as_u16()));
            }
            serde_json::from_slice(&answer.body).map_err(|_| "the explorer's answer is no JSON".to_owned())
        }
    }
}

impl Adapter for Crypto {
    fn create(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        let network = request.setup.network.as_deref().unwrap_or("its network");
        let instructions =
            request.address.as_ref().map(|it| format!("Send {} on {network} to {it}.", request.amount));
        let mut outcome = AttemptOutcome::of(vec![Notice::AwaitsPayer { reference: None }]);
        outcome.instructions = instructions;
        outcome.ask_after = request.setup.base_url.is_some().then_some(POLL);
        at_once(outcome)
    }

    /// Without an explorer nothing is known but what a watcher tells: of money it saw, only it can say that it is gone.
    fn retrieve(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        let (Some(address), true) = (request.address.clone(), request.setup.base_url.is_some()) else {
            if !request.seen.is_empty() {
                return at_once(AttemptOutcome::default());
            }
            return self.create(request);
        };
        let transactions = self.get(&request.setup, &format!("address/{address}/txs"));
        let height = self.get(&request.setup, "blocks/tip/height");
        Box::pin(async move {
            let found = async {
                let (transactions, height) = (transactions.await?, height.await?);
                let height = height.as_u64().ok_or("the explorer's height is no number")?;
                transfers(&transactions, &address, height, &request)
            };
            let mut outcome = match found.await {
                Ok(found) => {
                    let is_there = |it: &String| found.iter().any(|transfer| transfer.reference == *it);
                    let gone = request.seen.iter().filter(|it| !is_there(it)).cloned();
                    let gone: Vec<_> = gone.map(|reference| Notice::Dropped { reference }).collect();
                    let told = found.into_iter().map(|it| it.notice(&request.setup));
                    AttemptOutcome::of(gone.into_iter().chain(told).collect())
                }
                Err(reason) => {
                    tracing::warn!(attempt.id = %request.attempt, "The explorer of {} says: {reason}", request.attempt);
                    AttemptOutcome { is_failure: true, ..AttemptOutcome::default() }
                }
            };
            outcome.ask_after = Some(POLL);
            outcome
        })
    }

    /// Nothing is ever set aside.
    fn capture(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        self.create(request)
    }

    /// A person sends it, and says so when it has arrived.
    fn payout(&self, request: PayoutRequest, _: Setup, _: Access) -> Answering<PayoutOutcome> {
        at_once(PayoutOutcome::Sent { reference: request.reference })
    }

    fn check(&self, setup: Setup, _: Access) -> Answering<Result<String, String>> {
        if setup.base_url.is_none() {
            return at_once(Ok("transfers are told by a watcher; there is no explorer to ask".to_owned()));
        }
        let height = self.get(&setup, "blocks/tip/height");
        Box::pin(async move {
            let height = height.await?;
            height
                .as_u64()
                .map(|it| format!("the explorer is at block {it}"))
                .ok_or("its height is no number".into())
        })
    }
}

/// What pays `address` in an explorer's list of transactions.
fn transfers(
    transactions: &Value,
    address: &str,
    height: u64,
    request: &AttemptRequest,
) -> Result<Vec<Transfer>, String> {
    let list = transactions.as_array().ok_or("the explorer's answer is no list of transactions")?;
    let mut found = vec![];
    for transaction in list {
        let txid = transaction["txid"].as_str().ok_or("a transaction has no txid")?;
        let is_id = txid.len() == 64 && txid.bytes().all(|it| it.is_ascii_hexdigit());
        if !is_id {
            return Err("a txid is not one".to_owned());
        }
        let block = transaction["status"]["block_height"].as_u64();
        let block = block.filter(|_| transaction["status"]["confirmed"].as_bool() == Some(true));
        let confirmations = block.map_or(0, |it| (height + 1).saturating_sub(it));
        for (output, it) in transaction["vout"].as_array().into_iter().flatten().enumerate() {
            let to = it["scriptpubkey_address"].as_str();
            if !to.is_some_and(|it| it.eq_ignore_ascii_case(address)) {
                continue;
            }
            let minor = it["value"].as_u64().ok_or("an output has no value")?;
            let amount = Amount::new(minor.into(), request.amount.currency());
            let amount = amount.map_err(|_| "an output is no amount".to_owned())?;
            found.push(Transfer { reference: reference(txid, output as u64), amount, confirmations });
        }
    }
    Ok(found)
}

/// The gateway's reference of a transfer.
pub fn reference(txid: &str, output: u64) -> String {
    format!("{}:{output}", txid.to_ascii_lowercase())
}
