//! Transfers between two accounts.

use std::{cell::RefCell, sync::Arc};

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, Caller, Reach, found},
            endpoint::{Endpoint, get, post},
            object::{Filters as _, filters, object},
            page::{Page, Paging, page, page_by},
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
            service::{
                BulkIn, BulkOut, Moved, Transactions, TransferCaptureIn, TransferIn, TransferReverseIn,
                TransferVoidIn,
            },
        },
    },
};

object! {
    /// A transfer between two accounts.
    struct TransferOut: "transfer" of (
        id: TransferId, row: &Transfer, captured: Amount, reversed: Amount, balances: Vec<BalanceLine>,
    ) {
        status: TransferStatus = row.status(),
        amount: Amount = row.amount,
        currency: CurrencyCode = row.amount.currency().code,
        /// `usr_…` for an available account, `usr_…:commission`, or `house:<kind>`.
        from: String = shown(&row.from),
        to: String = shown(&row.to),
        /// What has moved.
        captured: Amount = captured,
        /// What was taken back of it.
        reversed: Amount = reversed,
        /// The entry that set the amount aside, or moved it.
        entry_id: EntryId = row.entry,
        hold_id: Option<HoldId> = row.hold.as_ref().map(|it| it.id),
        expires_at: Option<Time> = row.hold.as_ref().map(|it| it.expires_at),
        captures: Vec<MovementOut> = row.captures.iter().map(MovementOut::of).collect(),
        reversals: Vec<MovementOut> = row.reversals.iter().map(MovementOut::of).collect(),
        reason: Option<String> = row.reason.clone(),
        status_history: Vec<ChangeOut> = row.history.out(),
        /// Of a command: what the accounts it moved hold now, those that the caller may see.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        balances: Vec<BalanceLine> = balances,
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct MovementOut {
    amount: Amount,
    entry_id: EntryId,
    created_at: Time,
}

impl MovementOut {
    fn of(it: &Movement) -> MovementOut {
        MovementOut { amount: it.amount, entry_id: it.entry, created_at: it.at }
    }
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

filters! {
    pub struct TransfersQuery of Transfer, owned by user {
        status: TransferStatus = |it| it.status(),
        currency: CurrencyCode = |it| it.amount.currency().code,
        external_id: String = |it, wanted| it.stamp.external_id.as_ref() == Some(wanted),
    }
}

/// What the balances may refuse, on top of what is said of each operation.
const CREATING: &[&str] = &[
    "currency_inactive",
    "external_id_taken",
    "same_account",
    "currency_mismatch",
    "account_reserved",
    "self_approval",
    "user_not_active",
    "user_owes",
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
        get("/transfers").about("List transfers").own("transfers.view").lists(listed),
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
                out(call.path, &row, vec![])
            },
        ),
        post("/transfers/{id}/capture")
            .about("Carry out a held transfer, or a part of it")
            .needs("transfers.capture_any")
            .money()
            .refuses(&[
                "invalid_state_transition",
                "capture_too_large",
                "self_approval",
                "user_not_active",
                "user_owes",
            ])
            .example(json!({ "amount": "10.00", "final": false }))
            .writes(move |tx, call: &Call<TransferId, TransferCaptureIn>| {
                let captured = capture.capture(tx, &call.caller, call.path, &call.input);
                captured.and_then(|it| moved(&call.caller, it))
            }),
        post("/transfers/{id}/void")
            .about("Give back what a transfer still holds")
            .needs("transfers.void_any")
            .money()
            .refuses(&["invalid_state_transition"])
            .example(json!({ "reason": "the order was canceled" }))
            .writes(move |tx, call: &Call<TransferId, TransferVoidIn>| {
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
                "self_approval",
                "user_not_active",
                "user_owes",
                "insufficient_funds",
            ])
            .example(json!({ "amount": "5.00", "reason": "sent twice" }))
            .writes(move |tx, call: &Call<TransferId, TransferReverseIn>| {
                let reversed = reverse.reverse(tx, &call.caller, call.path, &call.input);
                reversed.and_then(|it| moved(&call.caller, it))
            }),
    ]
}

fn listed(tx: &ReadTx, call: &Call<(), TransfersQuery>) -> Result<Page<TransferOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let user = call.caller.limited_to(query.common.user_id)?;
    let (paging, keep) = (query.paging(user), |it: &Transfer| query.keeps(it));
    match user {
        Some(user) => of_user(tx, client, user, &paging, keep),
        None => page(tx, &TRANSFERS, &client, &paging, keep)?.try_map(|((_, id), row)| out(id, &row, vec![])),
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
            out(id, &transfer, vec![])
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
    out(it.id, &it.transfer, balance_lines(caller, &it.states))
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

fn out(id: TransferId, row: &Transfer, balances: Vec<BalanceLine>) -> Result<TransferOut> {
    Ok(TransferOut::of(id, row, row.captured()?, row.reversed()?, balances))
}

fn shown(account: &Account) -> String {
    match account.owner {
        AccountOwner::User(user, UserAccount::Available) => user.to_string(),
        AccountOwner::User(user, kind) => format!("{user}:{kind}"),
        AccountOwner::House(kind) => format!("house:{kind}"),
    }
}
