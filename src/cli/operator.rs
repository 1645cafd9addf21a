//! `coffer operator` and `coffer setup-link`: who runs the installation.
//!
//! Whoever may use the local socket, or open the file, is trusted with all of it: that is the way back in for an
//! operator who lost the password. Passwords are never arguments, which every user of the machine could read.

use std::{io::Read as _, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Context,
    exit::{Failure, INPUT_OUTPUT},
    local::Backend,
    output::Answer,
};
use crate::{config::read_secret_file, kernel::store::Random};

#[derive(Subcommand)]
pub enum Operator {
    /// Make an operator
    Create(WithPassword),
    /// Give an operator a new password; sessions opened with the old one end
    ResetPassword(WithPassword),
    /// Take away the second factor of an operator who lost it; its sessions end
    #[command(name = "reset-2fa")]
    Reset2fa { email: String },
    /// List the operators
    List,
    /// Tokens for programs that act as an operator
    #[command(subcommand)]
    Token(Token),
}

#[derive(Args)]
pub struct WithPassword {
    email: String,
    /// A file of mode 0600 whose first line is the password, or - for standard input; one is made and shown once
    /// unless given
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum Token {
    /// Make a token; it is shown once
    Create {
        /// What it is for: "deployment"
        name: String,
        /// When it stops working, RFC 3339; never unless given
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Make a token useless at once
    Revoke {
        /// Its id
        token: String,
    },
    /// List the tokens
    List,
}

const FIELDS: &[&str] = &["id", "email", "created_at", "password"];
const TOKEN_FIELDS: &[&str] = &["id", "name", "status", "expires_at", "created_at", "token"];

impl Operator {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Operator::Create(it) => {
                let (password, is_made) = it.password()?;
                let operator = create(&context.founding().await?, &it.email, &password).await?;
                Ok(with_password(operator, is_made.then_some(password)))
            }
            Operator::ResetPassword(it) => {
                let (password, is_made) = it.password()?;
                let body = json!({ "email": it.email, "password": password });
                let operator =
                    context.changing().await?.post("/operator/operators/reset-password", body).send().await?;
                Ok(with_password(operator, is_made.then_some(password)))
            }
            Operator::Reset2fa { email } => {
                let path = "/operator/operators/reset-2fa";
                let operator = context.changing().await?.post(path, json!({ "email": email })).send().await?;
                Ok(Answer::object(operator, FIELDS))
            }
            Operator::List => {
                let operators =
                    context.reading().await?.list("/operator/operators", None, usize::MAX).await?;
                let columns = ["id", "email", "created_at"];
                Ok(Answer::list(
                    operators,
                    &columns,
                    "Nobody has claimed this installation: run `coffer setup-link`.",
                ))
            }
            Operator::Token(token) => token.run(context).await,
        }
    }
}

impl Token {
    async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Token::Create { name, expires_at } => {
                let mut body = json!({ "name": name });
                if let Some(at) = expires_at {
                    body["expires_at"] = at.into();
                }
                let token = context.founding().await?.post("/operator/tokens", body).send().await?;
                Ok(Answer::object(token, TOKEN_FIELDS).followed_by("\nThe token is shown only now: keep it."))
            }
            Token::Revoke { token } => {
                let path = format!("/operator/tokens/{token}/revoke");
                let token = context.changing().await?.post(path, json!({})).send().await?;
                Ok(Answer::object(token, TOKEN_FIELDS))
            }
            Token::List => {
                let tokens = context.reading().await?.list("/operator/tokens", None, usize::MAX).await?;
                let columns = ["id", "name", "status", "operator_id", "expires_at", "created_at"];
                Ok(Answer::list(tokens, &columns, "No tokens."))
            }
        }
    }
}

impl WithPassword {
    /// The password, and whether it was made here.
    fn password(&self) -> Result<(String, bool), Failure> {
        match &self.password_file {
            None => Ok((random_password(), true)),
            Some(path) if path.as_os_str() == "-" => {
                let mut text = String::new();
                let read = std::io::stdin().read_to_string(&mut text);
                read.map_err(|error| {
                    Failure::new(INPUT_OUTPUT, "stdin", format!("standard input: {error}"))
                })?;
                let line = text.lines().next().unwrap_or_default();
                if line.is_empty() {
                    Err(Failure::usage("standard input: wanted a password on its first line"))
                } else {
                    Ok((line.to_owned(), false))
                }
            }
            Some(path) => Ok((read_secret_file(path)?, false)),
        }
    }
}

/// A one-time link that makes whoever opens it an operator, or lets one in who lost the password.
pub async fn setup_link(context: &Context) -> Result<Answer, Failure> {
    let config = context.config()?;
    let url = config.public_url(&config.server.listen.to_string());
    let link = make_setup_link(&context.founding().await?, &url).await?;
    let text = format!("{link}\n\nIt works once, within 30 minutes; links made before are void.");
    Ok(Answer::new(json!({ "url": link }), text))
}

pub async fn make_setup_link(backend: &Backend, url: &str) -> Result<String, Failure> {
    let made = backend.post("/operator/setup-link", json!({})).send().await?;
    // Behind a # it is not sent along when the page is fetched, so no proxy's log has it.
    Ok(format!("{url}/setup#{}", made["setup_token"].as_str().unwrap_or_default()))
}

/// Makes an operator, and claims the installation if nobody has.
pub async fn create(backend: &Backend, email: &str, password: &str) -> Result<Value, Failure> {
    backend.post("/operator/operators", json!({ "email": email, "password": password })).send().await
}

/// 125 random bits, in letters nobody confuses.
pub fn random_password() -> String {
    let text = data_encoding::BASE32_NOPAD.encode(&Random::Os.bytes::<16>()).to_ascii_lowercase();
    text.as_bytes()[..25].chunks(5).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-")
}

fn with_password(mut operator: Value, made: Option<String>) -> Answer {
    let is_made = made.is_some();
    if let Some(password) = made {
        operator["password"] = password.into();
    }
    let answer = Answer::object(operator, FIELDS);
    if is_made { answer.followed_by("\nThe password is shown only now: keep it.") } else { answer }
}
