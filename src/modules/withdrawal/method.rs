//! How a payout reaches its user: a bank account or a crypto address.
//!
//! Read from JSON with everything that is wrong at once, and kept in one spelling: no spaces in an IBAN, capitals in a
//! BIC, small letters in the name of a network. Shapes are checked, and the checksums of IBANs and of addresses on
//! known networks; whether the account exists is for the gateway to find out.

use std::fmt;

use iban::IbanLike as _;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::kernel::{
    api::{
        input::{Field, Flaw, Flaws, input, parse_object},
        text::Line,
    },
    secret::sha256,
    store::codec::{Decode, Encode},
};
use crate::modules::payment::contract::is_address;

/// Where to pay to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = WithdrawalMethod)]
pub enum Method {
    /// An account, by IBAN, or by account number and routing number.
    Bank {
        /// The name of the bank.
        bank: String,
        /// In whose name the account is.
        holder: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        iban: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        routing: Option<String>,
        /// BIC, 8 or 11 characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        swift: Option<String>,
    },
    Crypto {
        /// `bitcoin`, `ethereum`, `tron`, …
        network: String,
        address: String,
        /// Memo or destination tag, where the receiver needs one to know whose it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        memo: Option<String>,
    },
}

impl Method {
    /// A hash of what makes it this destination and no other. The memo is part of it: at an exchange, another memo is
    /// another person. Names are not.
    pub fn identity(&self) -> [u8; 16] {
        let empty = String::new();
        let text = |it: &Option<String>| it.as_ref().unwrap_or(&empty).clone();
        let parts = match self {
            Method::Bank { iban: Some(iban), .. } => vec!["iban".into(), iban.clone()],
            Method::Bank { account, routing, .. } => vec!["account".into(), text(account), text(routing)],
            Method::Crypto { network, address, memo } => {
                // In hexadecimal and in bech32, case carries no meaning.
                let any_case = address.starts_with("0x") || address.to_ascii_lowercase().starts_with("bc1");
                let address = if any_case { address.to_ascii_lowercase() } else { address.clone() };
                vec!["crypto".into(), network.clone(), address, text(memo)]
            }
        };
        let hash = sha256(parts.join("\n").as_bytes());
        let mut identity = [0; 16];
        identity.copy_from_slice(&hash[..16]);
        identity
    }
}

/// For narrations: enough to recognise it, not enough to use it.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::Bank { bank, iban, account, .. } => {
                let number = iban.as_deref().or(account.as_deref()).unwrap_or_default();
                write!(f, "{bank} …{}", last_four(number))
            }
            Method::Crypto { network, address, .. } => write!(f, "{network} …{}", last_four(address)),
        }
    }
}

fn last_four(text: &str) -> &str {
    text.char_indices().rev().nth(3).map_or(text, |(at, _)| &text[at..])
}

/// Declares a text that is brought into one spelling and then must be of a form.
macro_rules! text_of_form {
    ($($name:ident: $form:expr, $wanted:literal;)*) => { $(
        #[derive(Debug, PartialEq)]
        struct $name(String);

        impl Field for $name {
            fn parse(value: Value) -> Result<Self, Flaws> {
                let form: fn(String) -> Option<String> = $form;
                let text = String::parse(value)?;
                form(text).map($name).ok_or_else(|| flaw("invalid_format", $wanted))
            }
        }
    )* };
}

text_of_form! {
    Iban: |text| compact(&text).parse::<iban::Iban>().ok().map(|it| it.electronic_str().to_owned()),
        "must be an IBAN: its country, length or checksum is wrong";
    Bic: |text| Some(compact(&text)).filter(|it| is_bic(it)), "must be a BIC of 8 or 11 characters";
    AccountNumber: |text| Some(compact(&text)).filter(|it| is_number(it, 4, 34)),
        "must be an account number: 4 to 34 letters and digits";
    RoutingNumber: |text| Some(compact(&text)).filter(|it| is_number(it, 3, 15)),
        "must be a routing number: 3 to 15 letters and digits";
    Network: |text| Some(text.to_ascii_lowercase()).filter(|it| is_network(it)),
        "must be the name of a network such as bitcoin, ethereum or tron";
}

struct BankIn {
    bank: Line<140>,
    holder: Line<140>,
    iban: Option<Iban>,
    account: Option<AccountNumber>,
    routing: Option<RoutingNumber>,
    swift: Option<Bic>,
}
input!(BankIn { bank, holder, iban, account, routing, swift });

struct CryptoIn {
    network: Network,
    address: Line<128>,
    memo: Option<Line<128>>,
}
input!(CryptoIn { network, address, memo });

impl Field for Method {
    fn parse(value: Value) -> Result<Method, Flaws> {
        let Value::Object(mut fields) = value else {
            return Err(flaw("invalid_type", "must be an object"));
        };
        match fields.remove("type") {
            Some(Value::String(kind)) if kind == "bank" => parse_bank(fields),
            Some(Value::String(kind)) if kind == "crypto" => parse_crypto(fields),
            Some(_) => Err(vec![Flaw::new("type", "invalid_format", "must be `bank` or `crypto`")]),
            None => Err(vec![Flaw::new("type", "required", "is required")]),
        }
    }
}

fn parse_bank(fields: Map<String, Value>) -> Result<Method, Flaws> {
    let given = |name: &str| fields.get(name).is_some_and(|it| !it.is_null());
    let mut flaws = vec![];
    if given("iban") {
        let superfluous = ["account", "routing"].into_iter().filter(|it| given(it));
        flaws.extend(superfluous.map(|it| Flaw::new(it, "not_allowed", "the IBAN says it already")));
    } else if !given("account") && !given("routing") {
        flaws.push(Flaw::new("iban", "required", "is required, or `account` and `routing`"));
    } else {
        let missing = ["account", "routing"].into_iter().filter(|it| !given(it));
        flaws.extend(missing.map(|it| Flaw::new(it, "required", "is required without an IBAN")));
    }
    let read: BankIn = all_right(parse_object(fields.into()), flaws)?;
    Ok(Method::Bank {
        bank: read.bank.0,
        holder: read.holder.0,
        iban: read.iban.map(|it| it.0),
        account: read.account.map(|it| it.0),
        routing: read.routing.map(|it| it.0),
        swift: read.swift.map(|it| it.0),
    })
}

fn parse_crypto(fields: Map<String, Value>) -> Result<Method, Flaws> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    let (network, address) = (text("network").to_ascii_lowercase(), text("address"));
    let mut flaws = vec![];
    if is_network(&network) && !address.is_empty() && !is_address(&network, address) {
        flaws.push(Flaw::new("address", "invalid_format", format!("must be an address of {network}")));
    }
    let read: CryptoIn = all_right(parse_object(fields.into()), flaws)?;
    Ok(Method::Crypto { network: read.network.0, address: read.address.0, memo: read.memo.map(|it| it.0) })
}

/// What was read, unless it, or something else about it, is wrong.
fn all_right<T>(read: Result<T, Flaws>, mut others: Flaws) -> Result<T, Flaws> {
    match read {
        Ok(value) if others.is_empty() => Ok(value),
        Ok(_) => Err(others),
        Err(mut flaws) => {
            flaws.append(&mut others);
            Err(flaws)
        }
    }
}

fn flaw(code: &'static str, message: impl Into<String>) -> Flaws {
    vec![Flaw::new("", code, message)]
}

/// As people group it on paper, so it may come: without spaces and hyphens, in capitals.
fn compact(text: &str) -> String {
    text.chars().filter(|it| !matches!(it, ' ' | '-')).collect::<String>().to_ascii_uppercase()
}

/// ISO 9362: four letters of the bank, two of the country, two characters of the place, three of the branch or none.
fn is_bic(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.len(), 8 | 11)
        && bytes[..6].iter().all(u8::is_ascii_uppercase)
        && bytes[6..].iter().all(u8::is_ascii_alphanumeric)
}

fn is_number(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_alphanumeric())
        && text.bytes().any(|it| it.is_ascii_digit())
}

fn is_network(text: &str) -> bool {
    (2..=32).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-".contains(&it))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bank(more: Value) -> Value {
        let mut method = json!({ "type": "bank", "bank": "Erste", "holder": "Ann Lee" });
        method.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        method
    }

    fn crypto(network: &str, address: &str) -> Value {
        json!({ "type": "crypto", "network": network, "address": address })
    }

    fn flaws(method: Value) -> String {
        match Method::parse(method) {
            Ok(_) => "right".to_owned(),
            Err(flaws) => {
                flaws.iter().map(|it| format!("{} {}", it.param, it.code)).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn a_method_is_right_or_says_everything_that_is_wrong() {
        let evm = "0x52908400098527886E0F7030069857D2E4169EE7";
        let table = [
            (json!("bank"), " invalid_type"),
            (json!({}), "type required"),
            (json!({ "type": "cash" }), "type invalid_format"),
            (json!({ "type": "bank" }), "bank required, holder required, iban required"),
            (bank(json!({ "iban": "DE89370400440532013000" })), "right"),
            (bank(json!({ "iban": "de89 3704 0044 0532 0130 00", "swift": "cobadeffxxx" })), "right"),
            (bank(json!({ "iban": "DE88370400440532013000" })), "iban invalid_format"),
            (bank(json!({ "iban": "XX89370400440532013000" })), "iban invalid_format"),
            (bank(json!({ "iban": 89 })), "iban invalid_type"),
            (bank(json!({ "iban": null })), "iban required"),
            (bank(json!({ "account": "000123456789", "routing": "110000000" })), "right"),
            (bank(json!({ "account": "31926819", "routing": "60-16-13", "swift": "NWBKGB2L" })), "right"),
            (bank(json!({ "account": "31926819" })), "routing required"),
            (bank(json!({ "routing": "601613" })), "account required"),
            (
                bank(json!({ "account": "123", "routing": "no number" })),
                "account invalid_format, routing invalid_format",
            ),
            (bank(json!({ "iban": "DE89370400440532013000", "account": "31926819" })), "account not_allowed"),
            (
                bank(json!({ "iban": "DE1", "swift": "COBADEF", "memo": "x" })),
                "iban invalid_format, swift invalid_format, memo unknown_field",
            ),
            (
                json!({ "type": "bank", "bank": " ", "holder": "a\nb", "iban": "DE89370400440532013000" }),
                "bank out_of_range, holder invalid_format",
            ),
            (crypto("bitcoin", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"), "right"),
            (crypto("bitcoin", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"), "right"),
            (crypto("Bitcoin", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"), "right"),
            (crypto("bitcoin", "BC1QAR0SRRR7XFKVY5L643LYDNW9RE59GTZZWF5MDQ"), "right"),
            (crypto("bitcoin", "bc1QAR0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"), "address invalid_format"),
            (crypto("bitcoin", "1BoatSLRHtKNngkdXEeobR76b53LETtpy0"), "address invalid_format"),
            (crypto("bitcoin", evm), "address invalid_format"),
            (crypto("ethereum", evm), "right"),
            (crypto("polygon", evm), "right"),
            (crypto("ethereum", &evm[2..]), "address invalid_format"),
            (crypto("ethereum", &evm[..41]), "address invalid_format"),
            (crypto("tron", "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"), "right"),
            (crypto("tron", "AJRabPrwbZy45sbavfcjinPJC18kjpRTv8"), "address invalid_format"),
            (crypto("solana", "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV"), "right"),
            (crypto("solana", "tooshort"), "address invalid_format"),
            (crypto("solana", "7EcDhSYGxXysc szYEp35KHN8vvw3svAu"), "address invalid_format"),
            (crypto("!", ""), "network invalid_format, address out_of_range"),
            (json!({ "type": "crypto" }), "network required, address required"),
            (
                json!({ "type": "crypto", "network": "tron", "address": "T", "memo": "m".repeat(129), "iban": "x" }),
                "memo out_of_range, iban unknown_field, address invalid_format",
            ),
        ];
        for (method, wanted) in table {
            assert_eq!(flaws(method.clone()), wanted, "{method}");
        }
    }

    #[test]
    fn a_method_is_kept_in_one_spelling_and_shown_as_it_is_kept() {
        let read = Method::parse(bank(json!({ "iban": "de89 3704 0044 0532 0130 00" }))).unwrap();
        let shown = serde_json::to_value(&read).unwrap();
        assert_eq!(shown, bank(json!({ "iban": "DE89370400440532013000" })));
        assert_eq!(Method::parse(shown).unwrap(), read);
        assert_eq!(read.to_string(), "Erste …3000");
    }

    #[test]
    fn another_memo_is_another_destination_and_another_spelling_is_not() {
        let of = |network: &str, address: &str, memo: Option<&str>| {
            let method = json!({ "type": "crypto", "network": network, "address": address, "memo": memo });
            Method::parse(method).unwrap().identity()
        };
        let xrp = "rEb8TK3gBgk5auZkwc6sHnwrGVJH8DuaLh";
        assert_ne!(of("ripple", xrp, Some("1")), of("ripple", xrp, Some("2")));
        assert_ne!(of("ripple", xrp, Some("1")), of("ripple", xrp, None));
        assert_ne!(of("stellar", xrp, None), of("ripple", xrp, None));
        let evm = "0x52908400098527886E0F7030069857D2E4169EE7";
        assert_eq!(
            of("ethereum", evm, None),
            of("Ethereum", &evm.to_ascii_lowercase().replace("0X", "0x"), None)
        );
        let holder = |name: &str| {
            let method =
                json!({ "type": "bank", "bank": "Erste", "holder": name, "iban": "DE89370400440532013000" });
            Method::parse(method).unwrap().identity()
        };
        assert_eq!(holder("Ann Lee"), holder("Lee, Ann"));
    }
}
