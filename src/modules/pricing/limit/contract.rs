//! What other modules ask of limits: shown to them by `pricing::contract`.

use crate::kernel::{
    api::{
        input::text_enum,
        principal::{ClientId, UserId},
    },
    clock::Time,
    error::{Result, refusals},
    id::Id,
    money::{Amount, CurrencyCode},
    store::WriteTx,
};

text_enum! {
    /// What is limited.
    pub enum LimitOperation {
        /// Deposits.
        Funding = "funding",
        /// Paid out to the user; charges do not count.
        Withdrawal = "withdrawal",
    }
}

text_enum! {
    /// Over how long.
    pub enum LimitWindow { Day = "24h", Month = "30d" }
}

/// Something that counts.
#[derive(Debug, Clone, Copy)]
pub struct LimitUse {
    pub operation: LimitOperation,
    pub user: UserId,
    pub amount: Amount,
    /// Of the deposit, or the withdrawal.
    pub cause: [u8; 16],
}

impl LimitUse {
    pub fn new(operation: LimitOperation, user: UserId, amount: Amount, cause: impl Id) -> LimitUse {
        LimitUse { operation, user, amount, cause: cause.bytes() }
    }
}

/// How much a user may put in and take out.
pub trait LimitContract: Send + Sync {
    /// Counts it, as of now. Refuses, in this order, `below_limit`, `above_limit`, `limit_reached`.
    fn take(&self, tx: &mut WriteTx, client: ClientId, used: LimitUse, tier: &str) -> Result<()>;

    /// It came to nothing: what was counted at this instant does not count any more. What never was counted is no
    /// mistake: it is older than the limits.
    fn give_back(&self, tx: &mut WriteTx, client: ClientId, used: LimitUse, at: Time) -> Result<()>;

    /// It came about all the same: what was given back counts again, whatever the limits say.
    fn count_again(&self, tx: &mut WriteTx, client: ClientId, used: LimitUse, at: Time) -> Result<()>;
}

refusals! {
    /// What Limit refuses.
    pub enum LimitRefusal {
        /// Users of this tier do not do this with as little at once.
        BelowLimit { min: Amount, currency: CurrencyCode }: Unprocessable "below_limit" => "at least {min}",
        /// Users of this tier do not do this with as much at once.
        AboveLimit { max: Amount, currency: CurrencyCode }: Unprocessable "above_limit" => "at most {max}",
        /// With this, the user would have done more within the window than users of its tier may. What is pending
        /// counts. `GET limits/usage` shows what is left.
        LimitReached { window: LimitWindow, limit: Amount, used: Amount, currency: CurrencyCode }: Unprocessable "limit_reached"
            => "{used} of {limit} within {window} is used",
    }
}
