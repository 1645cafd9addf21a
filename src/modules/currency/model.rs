//! The currencies of an installation and those of a client: the rules, without tables.

use serde::Deserialize;

use super::contract::{CurrencyId, CurrencyRefusal};
use crate::kernel::{
    api::{
        input::{Flaw, text_enum},
        object::{Stamp, stamped},
    },
    error::{Result, fault},
    money::{Currency, CurrencyCode},
    store::codec::{Decode, Encode, row},
};

text_enum! {
    /// Who issues it.
    pub enum CurrencyKind { Fiat = "fiat", Crypto = "crypto" }
}

/// A currency of the catalogue.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct CatalogueRow {
    pub id: CurrencyId,
    pub code: CurrencyCode,
    pub name: String,
    pub symbol: String,
    pub kind: CurrencyKind,
    pub decimals: u8, // Invariant: <= 18, and fixed while `is_in_use`.
    /// Some client has or had it active, so amounts of it may be stored. Never taken back.
    pub is_in_use: bool,
    pub stamp: Stamp,
}
row!(CatalogueRow);
stamped!(CatalogueRow);

impl CatalogueRow {
    pub fn currency(&self) -> Currency {
        Currency { code: self.code, decimals: self.decimals }
    }
}

/// The most decimals a currency may have: ether's.
const MOST_DECIMALS: u32 = 18;

pub fn check_decimals(decimals: u32) -> Result<u8> {
    match u8::try_from(decimals) {
        Ok(fits) if decimals <= MOST_DECIMALS => Ok(fits),
        _ => Err(Flaw::new("decimals", "out_of_range", format!("must be at most {MOST_DECIMALS}")).into()),
    }
}

/// Which currencies a client uses.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct ClientCurrencies {
    // Invariant: `active` has no code twice, is sorted by code, and contains `default`.
    default: Currency,
    active: Vec<Currency>,
    /// Counts the changes.
    version: u64,
}
row!(ClientCurrencies);

impl ClientCurrencies {
    pub fn new(default: Currency) -> ClientCurrencies {
        ClientCurrencies { default, active: vec![default], version: 1 }
    }

    pub fn default(&self) -> Currency {
        self.default
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn active(&self, code: CurrencyCode) -> Option<Currency> {
        self.active.iter().find(|it| it.code == code).copied()
    }

    pub fn is_default_active(&self) -> bool {
        self.active.contains(&self.default)
    }

    /// Whether that changed anything.
    pub fn activate(&mut self, currency: Currency) -> bool {
        let Err(place) = self.active.binary_search_by_key(&currency.code, |it| it.code) else {
            return false;
        };
        self.active.insert(place, currency);
        self.version += 1;
        true
    }

    /// Whether that changed anything. Refuses `currency_is_default`.
    pub fn deactivate(&mut self, code: CurrencyCode) -> Result<bool> {
        if code == self.default.code {
            return Err(CurrencyRefusal::CurrencyIsDefault { currency: code }.into());
        }
        let before = self.active.len();
        self.active.retain(|it| it.code != code);
        let changed = self.active.len() < before;
        self.version += u64::from(changed);
        Ok(changed)
    }

    /// The default before, when that changed it. Refuses `currency_inactive`.
    pub fn make_default(&mut self, code: CurrencyCode) -> Result<Option<Currency>> {
        let currency = self.active(code).ok_or(CurrencyRefusal::CurrencyInactive { currency: code })?;
        if currency == self.default {
            return Ok(None);
        }
        self.version += 1;
        Ok(Some(std::mem::replace(&mut self.default, currency)))
    }
}

/// A row of `data/reference/currencies.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    pub code: CurrencyCode,
    pub name: String,
    pub symbol: String,
    pub kind: String,
    pub decimals: u8,
}

#[derive(Deserialize)]
struct ReferenceFile {
    currency: Vec<Reference>,
}

/// What a new installation begins with.
pub fn reference() -> Result<Vec<Reference>> {
    let file: ReferenceFile = toml::from_str(include_str!("../../../data/reference/currencies.toml"))
        .map_err(|error| fault!("currencies.toml: {error}"))?;
    Ok(file.currency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::error::Error;

    fn currency(code: &str) -> Currency {
        Currency { code: code.parse().unwrap(), decimals: 2 }
    }

    #[test]
    fn the_reference_file_has_the_currencies_everybody_expects() {
        let found = reference().unwrap();
        let found: Vec<_> =
            found.iter().map(|it| (it.code.as_str(), it.decimals, it.kind.parse::<CurrencyKind>())).collect();
        let (fiat, crypto) = (Ok(CurrencyKind::Fiat), Ok(CurrencyKind::Crypto));
        assert_eq!(
            found,
            [
                ("USD", 2, fiat),
                ("EUR", 2, fiat),
                ("GBP", 2, fiat),
                ("JPY", 0, fiat),
                ("KWD", 3, fiat),
                ("CHF", 2, fiat),
                ("CAD", 2, fiat),
                ("AUD", 2, fiat),
                ("BTC", 8, crypto),
                ("ETH", 18, crypto),
                ("USDT", 6, crypto),
                ("USDC", 6, crypto),
            ]
        );
        for row in reference().unwrap() {
            let fits = |text: &str, most: usize| (1..=most).contains(&text.chars().count());
            assert!(fits(&row.name, 60) && fits(&row.symbol, 8), "{}", row.code);
        }
    }

    #[test]
    fn a_client_always_has_one_default_and_it_is_active() {
        let code = |result: Result<bool>| result.map_err(|error: Error| error.code());
        let (usd, eur) = (currency("USD"), currency("EUR"));
        let mut client = ClientCurrencies::new(usd);
        assert_eq!(client.make_default(eur.code).unwrap_err().code(), Some("currency_inactive"));
        assert_eq!(code(client.deactivate(usd.code)), Err(Some("currency_is_default")));
        assert!(client.activate(eur) && !client.activate(eur));
        assert_eq!(client.make_default(eur.code).unwrap(), Some(usd));
        assert_eq!(client.make_default(eur.code).unwrap(), None, "a repeat changes nothing");
        assert_eq!(code(client.deactivate(eur.code)), Err(Some("currency_is_default")));
        assert_eq!(code(client.deactivate(usd.code)), Ok(true));
        assert_eq!(code(client.deactivate(usd.code)), Ok(false), "a repeat changes nothing");
        assert!(client.is_default_active());
        assert_eq!((client.version(), client.active(usd.code)), (4, None));
    }
}
