//! Transfers between two accounts.

use std::{cell::RefCell, sync::Arc};

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, Caller, Reach, found},
            endpoint::{Endpoint, get, post},
            input::{Metadata, input},
            page::{Cursor, Limit, Page, Paging, created_within, page, page_by},
            principal::{ClientId, UserId},
            problem::ApiRefusal,
        },
        clock::Time,
        error::{Error, Result},
        machine::ChangeOut,
        money::{Amount, CurrencyCode},
        store::ReadTx,
    },
    modules::{
        balance::contract::{Account, AccountId, AccountOwner, AccountState, EntryId, HoldId, UserAccount},
        transaction::{
            contract::{Transaction, TransferId},
            model::{Movement, Transfer, TransferStatus},
            repository::{BY_USER, TRANSACTIONS, TRANSFERS},
            service::{BulkIn, BulkOut, CaptureIn, Moved, ReverseIn, Transactions, TransferIn, VoidIn},
        },
    },
};

/// A transfer between two accounts.
#[derive(Serialize, utoipa::ToSchema)]
struct TransferOut {
    id: TransferId,
    #[schema(value_type = String)]
    object: &'static str,
    status: TransferStatus,
    amount: Amount,
    currency: CurrencyCode,
    /// `usr_…` for an available account, `usr_…:commission`, or `house:<kind>`.
    from: String,
    to: String,
    /// What has moved.
    captured: Amount,
    /// What was taken back of it.
    reversed: Amount,
    /// The entry that set the amount aside, or moved it.
    entry_id: EntryId,
    hold_id: Option<HoldId>,
    expires_at: Option<Time>,
    captures: Vec<MovementOut>,
    reversals: Vec<MovementOut>,
    reason: Option<String>,
    external_id: Option<String>,
    metadata: Metadata,
    status_history: Vec<ChangeOut>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    /// Of a command: what the accounts it moved hold now, those that the caller may see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    balances: Vec<BalanceLine>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MovementOut {
    amount: Amount,
    entry_id: EntryId,
    created_at: Time,
}

/// What an account holds after a command.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BalanceLine {
    account: AccountId,
    available: String,
    held: String,
    /// How many postings it has had.
    version: u64,
}

#[derive(Debug)]
struct TransfersQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    user_id: Option<UserId>,
    status: Option<TransferStatus>,
    currency: Option<CurrencyCode>,
    external_id: Option<String>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(TransfersQuery { limit, cursor, user_id, status, currency, external_id, created_from, created_to });

/// What the balances may refuse, on top of what is said of each operation.
const CREATING: &[&str] = &[
    "currency_inactive",
    "external_id_taken",
    "same_account",
    "currency_mismatch",
    "account_reserved",
    "self_approval",
    "user_not_active",
    "transfers_off",
    "reason_required",
    "insufficient_funds",
];

pub fn endpoints(service: &Arc<Transactions>) -> Vec<Endpoint> {
    let [create, bulk, capture, void, reverse] = [(); 5].map(|()| service.clone());
    let example = json!({
        "amount": "25.00", "currency": "USD", "from": "usr_01jd8x8y3re4vbh0m1k5n7p9qs",
        "to": "usr_01jd8x8y3re4vbh0m1k5n7p9qt", "reason": "lunch",
    });
    vec![
        get("/transfers").about("List transfers").own("transfers.view").lists(list),
        post("/transfers")
            .about("Move money between two accounts of one currency, or set it aside for that")
            .own("transfers.create")
            .money()
            .refuses(CREATING)
            .example(example.clone())
            .writes(move |tx, call: &Call<(), TransferIn>| {
                create.create(tx, &call.caller, &call.input).and_then(|it| moved(&call.caller, it))
            }),
        post("/transfers/bulk")
            .about("Make up to 10000 transfers; later ones see earlier ones")
            .needs("transfers.create_any")
            .money()
            .status(200)
            .max_body_bytes(8 * 1024 * 1024)
            .refuses(CREATING)
            .example(json!({ "items": [example], "atomic": false }))
            .writes_in_pieces(
                |call: &Call<(), BulkIn>| call.input.cut(&call.caller),
                move |tx, call, range| bulk.create_bulk(tx, &call.caller, &call.input, range),
                BulkOut::join,
            ),
        get("/transfers/{id}").about("Show a transfer").own("transfers.view").reads(
            |tx, call: &Call<TransferId, ()>| {
                let row = found(tx.get(&TRANSFERS, &(call.caller.client()?, call.path))?)?;
                if let Reach::Own(user) = call.caller.reach
                    && [row.from.user_id(), row.to.user_id()].iter().all(|it| *it != Some(user))
                {
                    return Err(ApiRefusal::NotFound.into());
                }
                out(call.path, row)
            },
        ),
        post("/transfers/{id}/capture")
            .about("Carry out a held transfer, or a part of it")
            .needs("transfers.capture_any")
            .money()
            .refuses(&["invalid_state_transition", "capture_too_large", "user_not_active"])
            .example(json!({ "amount": "10.00", "final": false }))
            .writes(move |tx, call: &Call<TransferId, CaptureIn>| {
                let captured = capture.capture(tx, &call.caller, call.path, &call.input);
                captured.and_then(|it| moved(&call.caller, it))
            }),
        post("/transfers/{id}/void")
            .about("Give back what a transfer still holds")
            .needs("transfers.void_any")
            .money()
            .refuses(&["invalid_state_transition"])
            .example(json!({ "reason": "the order was canceled" }))
            .writes(move |tx, call: &Call<TransferId, VoidIn>| {
                let voided = void.void(tx, &call.caller, call.path, &call.input);
                voided.and_then(|it| moved(&call.caller, it))
            }),
        post("/transfers/{id}/reverse")
            .about("Take back a transfer, or a part of it")
            .needs("transfers.reverse_any")
            .money()
            .refuses(&[
                "invalid_state_transition",
                "reverse_too_large",
                "user_not_active",
                "insufficient_funds",
            ])
            .example(json!({ "amount": "5.00", "reason": "sent twice" }))
            .writes(move |tx, call: &Call<TransferId, ReverseIn>| {
                let reversed = reverse.reverse(tx, &call.caller, call.path, &call.input);
                reversed.and_then(|it| moved(&call.caller, it))
            }),
    ]
}

fn list(tx: &ReadTx, call: &Call<(), TransfersQuery>) -> Result<Page<TransferOut>> {
    let query = &call.input;
    let (client, user) = (call.caller.client()?, call.caller.limited_to(query.user_id)?);
    let TransfersQuery { status, currency, external_id, created_from, created_to, .. } = query;
    let paging = Paging::new(
        query.limit,
        &query.cursor,
        (user, status, currency, external_id, created_from, created_to),
    );
    let keep = |it: &Transfer| {
        status.is_none_or(|status| it.status() == status)
            && currency.is_none_or(|currency| it.amount.currency().code == currency)
            && external_id.as_ref().is_none_or(|wanted| it.external_id.as_ref() == Some(wanted))
            && created_within(it.created_at, *created_from, *created_to)
    };
    match user {
        Some(user) => of_user(tx, client, user, &paging, keep),
        None => page(tx, &TRANSFERS, &client, &paging, keep)?.try_map(|((_, id), row)| out(id, row)),
    }
}

/// The transfers a user pays or receives, through its records: a transfer shows where its first record of the user is.
fn of_user(
    tx: &ReadTx,
    client: ClientId,
    user: UserId,
    paging: &Paging,
    keep: impl Fn(&Transfer) -> bool,
) -> Result<Page<TransferOut>> {
    let failed: RefCell<Option<Error>> = RefCell::default();
    let wanted = |record: &Transaction| match transfer_at(tx, client, record) {
        Ok(transfer) => transfer.is_some_and(|(_, it)| keep(&it)),
        Err(error) => {
            failed.replace(Some(error));
            false
        }
    };
    let records = page_by(tx, &TRANSACTIONS, BY_USER, &(client, user), paging, wanted)?;
    match failed.into_inner() {
        Some(error) => Err(error),
        None => records.try_map(|(_, record)| {
            let (id, transfer) = found(transfer_at(tx, client, &record)?)?;
            out(id, transfer)
        }),
    }
}

/// The transfer whose first record for this user this is.
fn transfer_at(
    tx: &ReadTx,
    client: ClientId,
    record: &Transaction,
) -> Result<Option<(TransferId, Transfer)>> {
    let Ok(id) = record.cause.parse::<TransferId>() else { return Ok(None) };
    let Some(transfer) = tx.get(&TRANSFERS, &(client, id))? else { return Ok(None) };
    let is_payer = transfer.from.user_id() == Some(record.user);
    let records = if is_payer { &transfer.records_of_payer } else { &transfer.records_of_receiver };
    let is_first = records.first() == Some(&record.id);
    Ok(is_first.then_some((id, transfer)))
}

/// The answer of a command.
fn moved(caller: &Caller, it: Moved) -> Result<TransferOut> {
    let balances = balance_lines(caller, &it.states);
    Ok(TransferOut { balances, ..out(it.id, it.transfer)? })
}

/// One line per account that money was moved in and the caller may see; what is held shows beside what is available.
pub fn balance_lines(caller: &Caller, states: &[AccountState]) -> Vec<BalanceLine> {
    let mut lines: Vec<BalanceLine> = Vec::with_capacity(states.len());
    for state in states {
        let is_held = matches!(state.account.owner, AccountOwner::User(_, UserAccount::Held));
        let is_visible = match caller.reach {
            Reach::Any => true,
            Reach::Own(user) => state.account.user_id() == Some(user),
        };
        if is_visible && !is_held && lines.iter().all(|it| it.account != state.id) {
            let show = |minor| state.account.currency.show(minor);
            let (available, held) = (show(state.balance), show(state.held));
            lines.push(BalanceLine { account: state.id, available, held, version: state.version });
        }
    }
    lines
}

fn out(id: TransferId, it: Transfer) -> Result<TransferOut> {
    let movement = |it: &Movement| MovementOut { amount: it.amount, entry_id: it.entry, created_at: it.at };
    Ok(TransferOut {
        id,
        object: "transfer",
        status: it.status(),
        amount: it.amount,
        currency: it.amount.currency().code,
        from: shown(&it.from),
        to: shown(&it.to),
        captured: it.captured()?,
        reversed: it.reversed()?,
        entry_id: it.entry,
        hold_id: it.hold.as_ref().map(|it| it.id),
        expires_at: it.hold.as_ref().map(|it| it.expires_at),
        captures: it.captures.iter().map(movement).collect(),
        reversals: it.reversals.iter().map(movement).collect(),
        reason: it.reason,
        external_id: it.external_id,
        metadata: it.metadata,
        status_history: it.history.out(),
        created_at: it.created_at,
        updated_at: it.updated_at,
        version: it.version,
        balances: vec![],
    })
}

fn shown(account: &Account) -> String {
    match account.owner {
        AccountOwner::User(user, UserAccount::Available) => user.to_string(),
        AccountOwner::User(user, kind) => format!("{user}:{kind}"),
        AccountOwner::House(kind) => format!("house:{kind}"),
    }
}
