//! Why a command did not do what it was asked, and what it exits with.
//!
//! The codes follow sysexits.h, so that a supervisor can tell "restart" from "restarting cannot help". [`TABLE`] is
//! shown by `coffer --help`; the two are changed together.

use std::fmt;

use serde_json::{Value, json};

use crate::{config::ConfigError, kernel::error::Error, kernel::store::OpenError};

pub const PROBLEMS_FOUND: u8 = 1;
pub const USAGE: u8 = 2;
pub const REFUSED: u8 = 64;
pub const UNAVAILABLE: u8 = 69;
pub const FAULT: u8 = 70;
pub const CANNOT_CREATE: u8 = 73;
pub const INPUT_OUTPUT: u8 = 74;
pub const TRY_AGAIN: u8 = 75;
pub const NO_PERMISSION: u8 = 77;
pub const CONFIGURATION: u8 = 78;

pub const TABLE: &str = "\
Exit codes:
   0  done
   1  the command ran and found problems (verify, ledger verify, healthcheck, module list --health), or what it did
      failed in part (events scheduled run, notifications outbox process)
   2  the command line is wrong
  64  refused: what was asked is not possible; the message has the code
  65  the data file is truncated, damaged or not Coffer's
  66  there is no data file
  69  the data file is locked by another process, or the server cannot be reached
  70  the storage failed, or a fault of Coffer's own
  71  the server cannot listen at its address or socket
  73  a file cannot be created
  74  a file cannot be read or written
  75  not now: try again later, or with --recover where the message says so
  77  a file or the server's socket may not be opened by this user
  78  the configuration is wrong, or the data file belongs to a newer release";

/// Why a command ends early. One line for people, `{\"error\":{…}}` with `--json`.
#[derive(Debug)]
pub struct Failure {
    pub exit: u8,
    /// Stable: that of a refusal, or a word of this file.
    pub code: String,
    /// What was found and what to do about it. Several problems are several lines.
    pub message: String,
    /// The problem document, when the server said no.
    pub problem: Option<Value>,
}

impl Failure {
    pub fn new(exit: u8, code: &str, message: impl fmt::Display) -> Failure {
        Failure { exit, code: code.to_owned(), message: message.to_string(), problem: None }
    }

    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(USAGE, "usage", message)
    }

    pub fn fault(message: impl fmt::Display) -> Failure {
        Failure::new(FAULT, "internal", message)
    }

    /// What the server answered instead of doing it.
    pub fn of_problem(status: u16, problem: Value) -> Failure {
        let text = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
        let code = text("code").unwrap_or_else(|| format!("http_{status}"));
        let mut message = text("detail").unwrap_or_else(|| format!("the server answered {status}"));
        let flaws = problem.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !flaws.is_empty() {
            let said = flaws.iter().map(|it| {
                let part = |name: &str| it.get(name).and_then(Value::as_str).unwrap_or_default();
                format!("{} {}", part("param"), part("message"))
            });
            message = said.collect::<Vec<_>>().join("; ");
        }
        if let Some(remedy) = remedy(&code) {
            message = format!("{message}. {remedy}");
        }
        let exit = match status {
            401 => NO_PERMISSION,
            429 | 503 | 507 => TRY_AGAIN,
            500.. => FAULT,
            _ => REFUSED,
        };
        Failure { exit, message: format!("{message} ({code})"), code, problem: Some(problem) }
    }

    pub fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(problem) = &self.problem {
            error["problem"] = problem.clone();
        }
        json!({ "error": error })
    }
}

/// What helps against refusals that a command line meets more often than others.
fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "unauthenticated" => "Run this as the user the server runs as, or as root",
        "client_required" => "Name the client with --client",
        "not_claimed" => "Run `coffer setup-link` and open what it prints",
        "insufficient_storage" => "Make room on the disk of storage.path",
        _ => return None,
    })
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let code = match &error {
            OpenError::Missing { .. } => "data_missing",
            OpenError::CannotCreate { .. } => "data_cannot_create",
            OpenError::Unreadable { .. } => "data_unreadable",
            OpenError::Locked { .. } => "data_locked",
            OpenError::Truncated { .. } => "data_truncated",
            OpenError::Foreign { .. } => "data_foreign",
            OpenError::Newer { .. } => "data_newer",
            OpenError::Corrupted { .. } => "data_corrupted",
            OpenError::UpgradeRequired { .. } => "data_upgrade_required",
            OpenError::NeedsRecovery { .. } => "data_needs_recovery",
        };
        Failure::new(error.exit_code(), code, error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::new(CONFIGURATION, "config", error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Refused(refusal) => Failure::new(REFUSED, refusal.code(), refusal),
            Error::Fault(fault) => Failure::fault(format_args!("{fault:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_is_wrong_with_which_field() {
        let problem = json!({ "code": "required", "detail": "the input is wrong", "errors": [
            { "param": "name", "code": "required", "message": "is required" },
            { "param": "mode", "code": "invalid_format", "message": "must be live or test" },
        ] });
        let failure = Failure::of_problem(422, problem);
        assert_eq!(failure.message, "name is required; mode must be live or test (required)");
        assert_eq!((failure.exit, failure.code.as_str()), (REFUSED, "required"));
    }

    #[test]
    fn every_command_and_every_exit_code_is_documented() {
        let page = include_str!("../../docs/CLI.md");
        for command in super::super::commands() {
            assert!(page.contains(&format!("`{command}`")), "docs/CLI.md does not name `{command}`");
        }
        let mut rows: Vec<String> = vec![];
        for line in TABLE.lines().skip(1) {
            match line.trim_start().split_once("  ") {
                Some((code, meaning)) if code.parse::<u8>().is_ok() => {
                    rows.push(format!("| {code} | {meaning}"))
                }
                _ => rows.last_mut().unwrap().push_str(&format!(" {}", line.trim())),
            }
        }
        assert!(rows.len() > 10, "{rows:#?}");
        for row in rows {
            assert!(page.contains(&format!("\n{row} |\n")), "docs/CLI.md has no row {row}");
        }
    }

    #[test]
    fn a_status_decides_whether_trying_again_can_help() {
        let cases = [
            (400, REFUSED),
            (401, NO_PERMISSION),
            (404, REFUSED),
            (409, REFUSED),
            (422, REFUSED),
            (429, TRY_AGAIN),
            (500, FAULT),
            (503, TRY_AGAIN),
            (507, TRY_AGAIN),
        ];
        for (status, exit) in cases {
            assert_eq!(Failure::of_problem(status, json!({})).exit, exit, "{status}");
        }
    }

    #[test]
    fn every_code_that_opening_a_file_ends_with_is_in_the_table() {
        let path = || "x".to_owned();
        let errors = [
            OpenError::Missing { path: path() },
            OpenError::CannotCreate { path: path(), why: path() },
            OpenError::Unreadable { path: path(), why: path() },
            OpenError::Locked { path: path() },
            OpenError::Truncated { path: path() },
            OpenError::Newer { path: path(), found: 2, known: 1 },
            OpenError::NeedsRecovery { path: path() },
        ];
        for error in errors {
            let exit = Failure::from(error).exit;
            assert!(TABLE.contains(&format!("\n  {exit}  ")), "{exit}");
        }
    }
}
