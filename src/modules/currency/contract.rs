//! What other modules may ask of currencies.

use crate::kernel::{
    api::principal::ClientId,
    error::{Result, refusals},
    id::id,
    money::{Currency, CurrencyCode},
    store::{ReadTx, WriteTx},
};

id!(/** A currency of the catalogue. */ CurrencyId, "cur");

/// The installation's catalogue of currencies, and which of them a client has active.
pub trait CurrencyContract: Send + Sync {
    /// The currency, when the client has it active. Refuses `currency_inactive`, for unknown codes too.
    fn active(&self, tx: &ReadTx, client: ClientId, code: CurrencyCode) -> Result<Currency>;

    /// The currency as the catalogue has it, active or not.
    fn known(&self, tx: &ReadTx, code: CurrencyCode) -> Result<Option<Currency>>;

    /// Whether nobody but its protocol issues it. No, for what is unknown.
    fn is_crypto(&self, tx: &ReadTx, code: CurrencyCode) -> Result<bool>;

    /// The client's default currency.
    fn default_of(&self, tx: &ReadTx, client: ClientId) -> Result<Currency>;

    /// Marks the currency as used by a posting: its decimals are fixed from now on.
    fn use_currency(&self, tx: &mut WriteTx, code: CurrencyCode) -> Result<()>;

    /// Makes `default` the only active currency of a new client. Refuses `currency_unknown`.
    fn set_up_client(&self, tx: &mut WriteTx, client: ClientId, default: CurrencyCode) -> Result<()>;

    /// Activates a further currency for a client. Refuses `currency_unknown`.
    fn activate(&self, tx: &mut WriteTx, client: ClientId, code: CurrencyCode) -> Result<()>;
}

refusals! {
    /// What Currency refuses.
    pub enum CurrencyRefusal {
        /// The client does not use this currency. Activate it first, or use one of `GET currencies`.
        CurrencyInactive { currency: CurrencyCode }: Unprocessable "currency_inactive" => "{currency} is not active here",
        /// The catalogue of the installation has no such currency. The operator can add it.
        CurrencyUnknown { currency: CurrencyCode }: Unprocessable "currency_unknown" => "there is no currency {currency}",
        /// The catalogue has a currency with this code, name or symbol already.
        CurrencyTaken { currency: CurrencyCode }: Conflict "currency_taken" => "{currency} exists already",
        /// A client has activated this currency, so amounts of it may be stored, and its decimals can never change.
        CurrencyInUse { currency: CurrencyCode }: Conflict "currency_in_use" => "{currency} is in use",
        /// A client always has a default currency, and it is active. Make another one the default first.
        CurrencyIsDefault { currency: CurrencyCode }: Conflict "currency_is_default" => "{currency} is the default",
    }
}
