//! The dashboard over HTTP.

use std::sync::Arc;

use serde::Serialize;

use super::{
    model::{Interval, Metric, Queue},
    service::Dashboard,
};
use crate::kernel::{
    api::{
        endpoint::{Endpoint, get},
        input::input,
        principal::{ClientId, UserId},
    },
    clock::Time,
    money::CurrencyCode,
};

pub struct StatisticsIn {
    pub user_id: Option<UserId>,
    /// How many days the present period has, today included: 1 to 366, 30 when omitted.
    pub days: Option<u32>,
}
input!(StatisticsIn { user_id, days });

pub struct SeriesIn {
    pub metric: Metric,
    pub currency: Option<CurrencyCode>,
    pub user_id: Option<UserId>,
    pub from: Option<Time>,
    pub to: Option<Time>,
    pub interval: Option<Interval>,
}
input!(SeriesIn { metric, currency, user_id, from, to, interval });

/// The numbers of a user, a client, or the whole installation.
#[derive(Serialize, utoipa::ToSchema)]
pub struct StatisticsOut {
    #[schema(value_type = String)]
    pub object: &'static str,
    /// Null for the whole installation.
    pub client_id: Option<ClientId>,
    /// The user, when they are one user's.
    pub user_id: Option<UserId>,
    pub as_of: Time,
    /// When the present period began: at midnight, UTC.
    pub period_from: Time,
    /// What is there now, by currency.
    pub balances: Vec<HoldingOut>,
    /// What was counted, by metric and currency.
    pub volumes: Vec<VolumeOut>,
    pub success_rates: Vec<SuccessOut>,
    /// What waits for somebody now.
    pub waiting: Vec<WaitingOut>,
    /// How their number grows; null for one user.
    pub users: Option<GrowthOut>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct HoldingOut {
    pub currency: CurrencyCode,
    /// All that the user has, its commission too; or all users together.
    pub total: String,
    /// Of one user.
    pub available: Option<String>,
    pub held: Option<String>,
    pub invested: Option<String>,
    pub commission: Option<String>,
    /// What is on the house's account of fees; null for one user.
    pub fee_income: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct VolumeOut {
    pub metric: Metric,
    /// Null for what is not about money, as its amounts.
    pub currency: Option<CurrencyCode>,
    /// How often, ever.
    pub count: i64,
    pub amount: Option<String>,
    /// The same in the present period.
    pub period_count: i64,
    pub period_amount: Option<String>,
}

/// How much of what has ended came about.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SuccessOut {
    pub metric: Metric,
    pub succeeded: i64,
    pub failed: i64,
    /// With two decimals, rounded down; null when nothing has ended.
    pub percent: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct WaitingOut {
    pub queue: Queue,
    pub count: i64,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct GrowthOut {
    pub total: i64,
    /// New ones in the present period.
    pub period: i64,
    /// New ones in the period of the same length before it.
    pub previous_period: i64,
}

/// One metric over time, a point for each interval, those without anything too.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SeriesOut {
    #[schema(value_type = String)]
    pub object: &'static str,
    pub metric: Metric,
    pub currency: Option<CurrencyCode>,
    pub client_id: Option<ClientId>,
    pub user_id: Option<UserId>,
    pub interval: Interval,
    /// The start of the first point.
    pub from: Time,
    /// The end of the last one.
    pub to: Time,
    /// All points together.
    pub count: i64,
    pub amount: Option<String>,
    /// Oldest first, all of them.
    pub data: Vec<PointOut>,
    pub has_more: bool,
    pub next_cursor: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct PointOut {
    pub at: Time,
    pub count: i64,
    pub amount: Option<String>,
    pub currency: Option<CurrencyCode>,
}

pub fn endpoints(service: &Arc<Dashboard>) -> Vec<Endpoint> {
    vec![
        get("/dashboard/statistics")
            .about("The numbers of oneself, a user, the client, or for an operator that names no client of all")
            .own("dashboard.view")
            .reads_with(service, Dashboard::statistics),
        get("/dashboard/series")
            .about("One metric over time, by hour, day, week or month in UTC: at most 1000 points; 30 days when omitted")
            .own("dashboard.view")
            .refuses(&["currency_unknown"])
            .with_csv()
            .reads_with(service, Dashboard::series),
    ]
}
