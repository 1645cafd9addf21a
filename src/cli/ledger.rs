//! `coffer ledger`: the books of one client.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Context,
    exit::{Failure, PROBLEMS_FOUND},
    output::Answer,
};

#[derive(Subcommand)]
pub enum Ledger {
    /// List the accounts and what they hold
    Accounts(Accounts),
    /// Per currency, the sums of what users and the house have; they add up to zero
    TrialBalance(Of),
    /// Recompute every balance, chain and hold of the client
    Verify(Of),
}

#[derive(Args)]
pub struct Of {
    /// Id or slug of the client
    #[arg(long, value_name = "CLIENT")]
    client: String,
}

#[derive(Args)]
pub struct Accounts {
    #[command(flatten)]
    of: Of,
    /// How many at most, the newest first
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Ledger {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let backend = context.reading().await?;
        match self {
            Ledger::Accounts(accounts) => {
                let client = backend.client_id(&accounts.of.client).await?;
                let list = backend.list("/ledger/accounts", Some(&client), accounts.limit as usize).await?;
                let has_more = list["has_more"] == true;
                let columns = ["id", "user_id", "kind", "currency", "balance", "version"];
                let answer = Answer::list(list, &columns, "No accounts yet: nothing was posted.");
                Ok(if has_more { answer.followed_by("There are more: raise --limit.") } else { answer })
            }
            Ledger::TrialBalance(of) => {
                let client = backend.client_id(&of.client).await?;
                let balance = backend.get("/ledger/trial-balance").client(Some(&client)).send().await?;
                Ok(sums(balance))
            }
            Ledger::Verify(of) => {
                let client = backend.client_id(&of.client).await?;
                let report = backend.get("/ledger/verify").client(Some(&client)).send().await?;
                let exit = if report["ok"] == true { 0 } else { PROBLEMS_FOUND };
                Ok(Answer::object(report, &["ok", "checked", "first_problem"]).exits(exit))
            }
        }
    }
}

/// A line for each kind of account and one for each currency, which has to balance.
fn sums(balance: Value) -> Answer {
    let items = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut rows = vec![];
    for currency in items(&balance, "currencies") {
        let code = currency["currency"].clone();
        for mut kind in items(&currency, "kinds") {
            kind["currency"] = code.clone();
            rows.push(kind);
        }
        rows.push(json!({
            "currency": code, "kind": "together", "debit": currency["debit"], "credit": currency["credit"],
        }));
    }
    let columns = ["currency", "kind", "accounts", "debit", "credit"];
    let shown = Answer::list(json!({ "data": rows }), &columns, "Nothing was posted yet.");
    let balanced = balance["balanced"] == true;
    shown.saying(balance).exits(if balanced { 0 } else { PROBLEMS_FOUND })
}
