//! Markets as earlier releases stored them: before providers were sent secrets.

use super::model::{
    feed::{Feed, Provider, Pull},
    market::{Market, MarketStatus},
};
use crate::kernel::{
    api::object::Stamp,
    money::{CurrencyCode, Percent, RateValue},
    store::codec::{Decode, Encode},
};

#[derive(Encode, Decode)]
pub struct MarketV1 {
    base: CurrencyCode,
    quote: CurrencyCode,
    status: MarketStatus,
    stale_after_s: u64,
    max_deviation: Option<Percent>,
    decimals: u8,
    feed: FeedV1,
    stamp: Stamp,
}

#[derive(Encode, Decode)]
enum FeedV1 {
    Push,
    Fixed { price: RateValue },
    Http(PullV1),
}

#[derive(Encode, Decode)]
struct PullV1 {
    interval_s: u32,
    median_of: u32,
    providers: Vec<ProviderV1>,
}

#[derive(Encode, Decode)]
struct ProviderV1 {
    name: String,
    url: String,
    price_path: Option<String>,
    bid_path: Option<String>,
    ask_path: Option<String>,
}

impl From<ProviderV1> for Provider {
    fn from(it: ProviderV1) -> Provider {
        let ProviderV1 { name, url, price_path, bid_path, ask_path } = it;
        Provider { name, url, price_path, bid_path, ask_path, header_name: None, header_secret: None }
    }
}

impl From<MarketV1> for Market {
    fn from(it: MarketV1) -> Market {
        let feed = match it.feed {
            FeedV1::Push => Feed::Push,
            FeedV1::Fixed { price } => Feed::Fixed { price },
            FeedV1::Http(PullV1 { interval_s, median_of, providers }) => {
                let providers = providers.into_iter().map(Provider::from).collect();
                Feed::Http(Pull { interval_s, median_of, providers })
            }
        };
        Market {
            base: it.base,
            quote: it.quote,
            status: it.status,
            stale_after_s: it.stale_after_s,
            max_deviation: it.max_deviation,
            decimals: it.decimals,
            feed,
            stamp: it.stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::Row as _;

    #[test]
    fn what_the_first_release_stored_is_read() {
        let first = include_str!("../../../tests/golden/rows/market.markets.v1.hex");
        let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
        let Feed::Http(pull) = Market::decode_row(&first).unwrap().feed else { panic!("it is pulled") };
        assert_eq!((pull.providers[0].name.as_str(), &pull.providers[0].header_name), ("acme", &None));
    }
}
