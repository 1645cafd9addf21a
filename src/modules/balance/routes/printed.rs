//! A statement to be printed: all of it on one page, oldest first.

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, value::Serde};
use serde_json::{Value as Json, json};

use super::balances::StatementIn;
use crate::kernel::{
    api::{
        call::{Call, found},
        input::Flaw,
        print::Printed,
    },
    error::{Result, fault},
    money::Currency,
    store::ReadTx,
};
use crate::modules::balance::{
    contract::{Account, UserAccount},
    model::entry::entry_id,
    repository::Placed,
    service::{Ledger, Statement, StatementQuery},
};

/// Some three hundred sheets.
const MOST_LINES: usize = 10_000;
/// Read at a time.
const PIECE: usize = 500;

const CSS: &str = include_str!("statement.css");

/// Everything that is filled in is escaped; a name the page uses and nobody gives is a fault.
static PAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment
        .add_template("statement", include_str!("statement.html"))
        .expect("the page is compiled in and tested");
    environment
});

pub fn print(ledger: &Ledger, tx: &ReadTx, call: &Call<(), StatementIn>) -> Result<Printed> {
    let StatementIn { currency, account, from, to, user_id, .. } = &call.input;
    let (client, user) = ledger.whose(tx, &call.caller, *user_id)?;
    let currency = found(ledger.currencies.known(tx, *currency)?)?;
    let kind = account.unwrap_or(UserAccount::Available);
    let query = StatementQuery { account: Account::user(user, kind, currency), from: *from, to: *to };
    let mut lines: Vec<Placed> = vec![];
    let mut behind = None;
    let (opening, closing) = loop {
        let Statement { opening, closing, lines: piece, next } =
            ledger.statement(tx, client, &query, behind, PIECE)?;
        lines.extend(piece);
        if lines.len() > MOST_LINES {
            let message = format!("leaves more than {MOST_LINES} movements: print a shorter span");
            return Err(Flaw::new("from", "out_of_range", message).into());
        }
        behind = next;
        if behind.is_none() {
            break (opening, closing);
        }
    };
    lines.reverse();

    let line = |it: &Placed| -> Json {
        json!({
            "at": it.entry.at,
            "description": it.entry.description,
            "cause": it.entry.cause,
            "entry_id": entry_id(client, it.number, it.entry.at),
            "amount": currency.show(it.posting.delta),
            "balance": currency.show(it.posting.balance_after),
        })
    };
    let Currency { code, .. } = currency;
    let owner = ledger.users.get(tx, client, user)?;
    let shown: Vec<Json> = lines.iter().map(line).collect();
    let client = ledger.clients.get(tx, client)?;
    let branding = client.settings.branding;
    let values = json!({
        "brand": branding.display_name.unwrap_or(client.name),
        "website": branding.website,
        "support_email": branding.support_email,
        "user": format!("{} {} ({})", owner.first_name, owner.last_name, owner.email),
        "account": kind,
        "currency": code,
        "from": from,
        "to": to.unwrap_or(tx.now()),
        "opening": currency.show(opening),
        "closing": currency.show(closing),
        "lines": shown,
        "made_at": tx.now(),
        "css": CSS,
    });
    let page = PAGE.get_template("statement").and_then(|it| it.render(Value::from(Serde(values))));
    let html = page.map_err(|error| fault!("the statement cannot be printed: {error}"))?;
    Ok(Printed { html, css: CSS })
}
