//! `coffer verify`: whether everything in the file is as its rows say, recomputed from the file itself.
//!
//! It needs no server and disturbs none: the file is opened for reading only, and what is read is one snapshot of it.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    Context,
    exit::{Failure, PROBLEMS_FOUND},
    local::inspect,
    output::Answer,
};

pub fn run(context: &Context) -> Result<Answer, Failure> {
    let config = context.config()?;
    let path = config.storage.path.display().to_string();
    let kernel = inspect(config, context.recover)?;
    let problems = kernel.verify_all(&BTreeSet::new())?;
    let checks: Vec<&str> = kernel.checks.iter().map(|it| it.name).collect();
    let (tables, rules) = (kernel.tables.len(), checks.len());
    let text = match problems.as_slice() {
        [] => format!("{path}: all is well ({tables} tables and their indexes, {rules} invariants)."),
        [first] => format!("{path}: one thing is wrong: {first}"),
        [first, rest @ ..] => {
            format!("{path}: {} things are wrong, the first: {first}\n{}", problems.len(), rest.join("\n"))
        }
    };
    let value = json!({
        "ok": problems.is_empty(),
        "path": path,
        "connections": kernel.annexes.iter().map(|it| &it.connection).collect::<Vec<_>>(),
        "checked": { "tables": tables, "invariants": checks },
        "first_problem": problems.first(),
        "problems": problems,
    });
    Ok(Answer::new(value, text).exits(if problems.is_empty() { 0 } else { PROBLEMS_FOUND }))
}
