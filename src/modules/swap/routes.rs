//! Quotes and swaps over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::{QuoteId, QuoteStatus, SwapId},
    model::{Quote, Swap},
    repository::{BY_PAIR, BY_USER, SWAPS},
    service::Swaps,
};
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::{Flaw, Metadata, input},
            object::{ExternalId, filters, list, object},
            page::{Cursor, Limit, Page, Paging, page, page_by},
            principal::UserId,
        },
        clock::Time,
        error::Result,
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode, Percent, RateValue},
        store::ReadTx,
    },
    modules::{
        balance::contract::EntryId, market::contract::PriceUsed, pricing::contract::FeeId,
        transaction::contract::TransactionId,
    },
};

input! {
    /// What is to be exchanged: one of the two amounts is named, the other follows.
    pub struct QuoteIn {
        from_currency: CurrencyCode,
        to_currency: CurrencyCode,
        /// What is given, the fee included.
        from_amount: Option<AmountText>,
        /// What is received.
        to_amount: Option<AmountText>,
        user_id: Option<UserId>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    pub struct SwapIn {
        quote_id: QuoteId,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

filters! {
    pub struct SwapQuery of Swap, owned by user {
        from_currency: CurrencyCode = |it| it.terms.rate.base,
        to_currency: CurrencyCode = |it| it.terms.rate.quote,
    }
}

object! {
    /// A promise: accept it with `POST swaps` before `expires_at`.
    pub struct QuoteOut: "quote" of (id: QuoteId, row: &Quote) {
        status: QuoteStatus = row.status(),
        user_id: UserId = row.user,
        from_currency: CurrencyCode = row.terms.rate.base,
        to_currency: CurrencyCode = row.terms.rate.quote,
        /// What is given, the fee included.
        from_amount: Amount = row.terms.from,
        /// What is received.
        to_amount: Amount = row.terms.to,
        /// Of what is given.
        fee: Amount = row.terms.fee,
        fee_id: Option<FeeId> = row.terms.fee_rule,
        /// What one unit of `from_currency` is exchanged for.
        rate: RateValue = row.terms.rate.value,
        /// What the market says it is worth.
        mid_rate: RateValue = row.terms.mid,
        /// The percentage by which `rate` is below `mid_rate`.
        spread: Percent = row.terms.spread,
        /// What the middle rate was derived from.
        prices: Vec<PriceUsed> = row.terms.prices.clone(),
        /// How old the oldest of them was when the quote was made.
        price_age_s: u64 = row.stamp.created_at.since(row.terms.as_of).as_secs(),
        expires_at: Time = row.expires_at,
        swap_id: Option<SwapId> = row.swap,
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

object! {
    /// One currency of a user, exchanged for another.
    pub struct SwapOut: "swap" of (id: SwapId, row: &Swap) {
        user_id: UserId = row.user,
        quote_id: QuoteId = row.quote,
        from_currency: CurrencyCode = row.terms.rate.base,
        to_currency: CurrencyCode = row.terms.rate.quote,
        /// What was given, the fee included.
        from_amount: Amount = row.terms.from,
        /// What was received.
        to_amount: Amount = row.terms.to,
        /// Of what was given.
        fee: Amount = row.terms.fee,
        fee_id: Option<FeeId> = row.terms.fee_rule,
        rate: RateValue = row.terms.rate.value,
        mid_rate: RateValue = row.terms.mid,
        spread: Percent = row.terms.spread,
        prices: Vec<PriceUsed> = row.terms.prices.clone(),
        /// The entry with both legs.
        entry_id: EntryId = row.entry,
        /// Debit, credit and fee.
        transaction_ids: Vec<TransactionId> = row.transactions.clone(),
    }
}

/// A rate at which something was exchanged.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RateOut {
    #[schema(value_type = String)]
    object: &'static str,
    swap_id: SwapId,
    from_currency: CurrencyCode,
    to_currency: CurrencyCode,
    rate: RateValue,
    mid_rate: RateValue,
    spread: Percent,
    /// Who said what the middle rate was derived from.
    sources: Vec<String>,
    created_at: Time,
}

pub struct RatesQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    /// Both or neither.
    from_currency: Option<CurrencyCode>,
    to_currency: Option<CurrencyCode>,
}
input!(RatesQuery { limit, cursor, from_currency, to_currency });

pub fn endpoints(service: &Arc<Swaps>) -> Vec<Endpoint> {
    vec![
        post("/swaps/quotes")
            .about("Ask what an exchange would give; the answer is a promise for a short time")
            .own("swaps.create")
            .refuses(&[
                "currency_inactive",
                "user_not_active",
                "external_id_taken",
                "rate_unavailable",
                "own_price",
                "swap_too_small",
                "swap_above_maximum",
            ])
            .example(json!({
                "from_currency": "USD", "to_currency": "BTC", "from_amount": "1000.00",
                "user_id": "usr_01h455vb4pex5vsknk084sn02q",
            }))
            .writes_with(service, Swaps::quote),
        get("/swaps/quotes/{id}")
            .about("Show a quote")
            .own("swaps.view")
            .reads_with(service, Swaps::show_quote),
        post("/swaps/quotes/{id}/cancel")
            .about("Take a quote back")
            .own("swaps.cancel")
            .refuses(&["quote_expired", "invalid_state_transition"])
            .writes_with(service, Swaps::cancel),
        post("/swaps")
            .about("Accept a quote: exchange what it says")
            .own("swaps.create")
            .money()
            .refuses(&[
                "quote_expired",
                "invalid_state_transition",
                "user_not_active",
                "external_id_taken",
                "insufficient_funds",
            ])
            .example(json!({ "quote_id": "quo_01h455vb4pex5vsknk084sn02q" }))
            .writes_with(service, Swaps::execute),
        get("/swaps").about("List swaps, newest first").own("swaps.view").lists(
            |tx, call: &Call<(), SwapQuery>| {
                Ok(list(tx, call, &SWAPS, Some(BY_USER))?.map(|((_, id), row)| SwapOut::of(id, &row)))
            },
        ),
        get("/swaps/rates")
            .about("List the rates at which was exchanged, newest first")
            .own("swaps.view")
            .lists(rates),
        get("/swaps/{id}").about("Show a swap").own("swaps.view").reads_with(service, Swaps::show),
    ]
}

/// Every swap of the client, without whose it was.
fn rates(tx: &ReadTx, call: &Call<(), RatesQuery>) -> Result<Page<RateOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let paging = Paging::new(query.limit, &query.cursor, (query.from_currency, query.to_currency));
    let page = match (query.from_currency, query.to_currency) {
        (Some(from), Some(to)) => page_by(tx, &SWAPS, BY_PAIR, &(client, from, to), &paging, |_| true)?,
        (None, None) => page(tx, &SWAPS, &client, &paging, |_| true)?,
        (None, _) => return Err(Flaw::new("from_currency", "required", "name both, or neither").into()),
        (_, None) => return Err(Flaw::new("to_currency", "required", "name both, or neither").into()),
    };
    Ok(page.map(|((_, swap_id), row)| RateOut {
        object: "rate",
        swap_id,
        from_currency: row.terms.rate.base,
        to_currency: row.terms.rate.quote,
        rate: row.terms.rate.value,
        mid_rate: row.terms.mid,
        spread: row.terms.spread,
        sources: row.terms.prices.iter().map(|it| it.source.clone()).collect(),
        created_at: row.stamp.created_at,
    }))
}
