//! What Currency announces.

use serde::{Deserialize, Serialize};

use crate::kernel::{api::principal::ClientId, events::event::event, money::CurrencyCode};

/// A client made another currency its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CurrencyDefaultChanged {
    pub client_id: ClientId,
    pub previous: CurrencyCode,
    pub currency: CurrencyCode,
}
event!(CurrencyDefaultChanged, "currency.default_changed", client_id);
