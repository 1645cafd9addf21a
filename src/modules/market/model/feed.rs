//! Where the prices of a market come from.

use hyper::header::HeaderName;
use serde::Serialize;

use super::{market::within, path::JsonPath, price::Quote};
use crate::kernel::{
    api::input::{Flaw, Flaws, check_length, input, text_enum},
    error::Result,
    money::{AmountText, CurrencyCode, RateValue},
    net::Net,
    store::codec::{Decode, Encode},
};

/// Where the prices of a market come from.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Feed {
    /// Whoever holds `prices:write` sends them.
    Push,
    /// One price, which never grows old.
    Fixed { price: RateValue },
    /// We ask for them; others may still send some.
    Http(Pull),
}

/// How prices are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Pull {
    pub interval_s: u32,
    /// How many providers must agree: their answers' median counts. 1: the first that answers.
    pub median_of: u32,
    /// Asked in this order until enough have answered.
    pub providers: Vec<Provider>,
}

/// One that is asked over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct Provider {
    /// What it is called in `source`.
    pub name: String,
    /// With `{base}` and `{quote}`, or `{base_lower}` and `{quote_lower}`.
    pub url: String,
    /// Where the price is in the JSON: `data.rates[0].price`.
    pub price_path: Option<String>,
    /// Both instead of `price_path`.
    pub bid_path: Option<String>,
    pub ask_path: Option<String>,
    /// A header that is sent along: `x-api-key`, `authorization`.
    pub header_name: Option<String>,
    /// Which secret of the client (`PUT secrets/{name}`) is its value, as it is: `Bearer` and the like belong into it.
    /// The value itself is nowhere but there. Invariant: there when `header_name` is.
    pub header_secret: Option<String>,
}

impl Provider {
    pub fn url_for(&self, base: CurrencyCode, quote: CurrencyCode) -> String {
        let lower = |it: CurrencyCode| it.as_str().to_ascii_lowercase();
        self.url
            .replace("{base}", base.as_str())
            .replace("{quote}", quote.as_str())
            .replace("{base_lower}", &lower(base))
            .replace("{quote_lower}", &lower(quote))
    }

    /// The price in an answer; what is wrong otherwise.
    pub fn read(&self, body: &[u8]) -> Result<Quote, String> {
        let body = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        let number = |path: &str| {
            let path: JsonPath = path.parse().map_err(|()| format!("{path} is no path"))?;
            let text = path.find(body).ok_or_else(|| format!("the answer has no {path}"))?;
            RateValue::read_loosely(&text).ok_or_else(|| format!("{path} is {text}, which is no price"))
        };
        match (&self.price_path, &self.bid_path, &self.ask_path) {
            (Some(path), _, _) => number(path).map(Quote::single),
            (None, Some(bid), Some(ask)) => {
                let (bid, ask) = (number(bid)?, number(ask)?);
                Quote::of(bid, ask).map_err(|refusal| refusal.to_string())
            }
            _ => Err("the provider has no path".to_owned()),
        }
    }
}

/// The median of what several said: of an even number, the middle of the two in the middle.
pub fn median(mut quotes: Vec<Quote>) -> Option<Quote> {
    quotes.sort_by_key(|it| it.mid);
    let half = quotes.len() / 2;
    let above = *quotes.get(half)?;
    if quotes.len() % 2 == 1 {
        return Some(above);
    }
    let below = quotes[half - 1];
    Quote::of(below.bid.middle(above.bid)?, below.ask.middle(above.ask)?).ok()
}

/// Headers that say how a request is made.
const RESERVED: &[&str] = &["host", "content-length", "transfer-encoding", "connection"];

text_enum! {
    /// Where the prices of a market come from.
    pub enum FeedType {
        /// They are sent by whoever holds `prices:write`.
        Push = "push",
        /// One price, which never grows old.
        Fixed = "fixed",
        /// They are asked for over HTTP.
        Http = "http",
    }
}

input! {
    /// Where the prices of a market come from.
    pub struct FeedIn {
        r#type: FeedType,
        /// fixed: the price.
        price: Option<AmountText>,
        /// http: seconds between two requests; 60 when omitted, at least 5.
        interval_s: Option<u32>,
        /// http: how many answers the median is taken of; 1 when omitted, at most 5.
        median_of: Option<u32>,
        /// http: who is asked, in this order.
        providers: Option<Vec<ProviderIn>>,
    }
}

input! {
    /// One that is asked over HTTP.
    pub struct ProviderIn {
        name: String,
        /// With `{base}` and `{quote}`, or `{base_lower}` and `{quote_lower}`.
        url: String,
        /// Where the price is in the JSON: `data.rates[0].price`.
        price_path: Option<String>,
        /// Both instead of `price_path`.
        bid_path: Option<String>,
        ask_path: Option<String>,
        /// A header to be sent along, such as `x-api-key`; with `header_secret`.
        header_name: Option<String>,
        /// The name of the secret that is its value: see `PUT secrets/{name}`.
        header_secret: Option<String>,
    }
}

/// Where the prices of a market come from.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FeedOut {
    pub r#type: FeedType,
    pub price: Option<RateValue>,
    pub interval_s: Option<u32>,
    pub median_of: Option<u32>,
    pub providers: Option<Vec<Provider>>,
}

impl FeedOut {
    pub fn of(feed: &Feed) -> FeedOut {
        let none = FeedOut {
            r#type: FeedType::Push,
            price: None,
            interval_s: None,
            median_of: None,
            providers: None,
        };
        match feed {
            Feed::Push => none,
            Feed::Fixed { price } => FeedOut { r#type: FeedType::Fixed, price: Some(*price), ..none },
            Feed::Http(pull) => FeedOut {
                r#type: FeedType::Http,
                interval_s: Some(pull.interval_s),
                median_of: Some(pull.median_of),
                providers: Some(pull.providers.clone()),
                ..none
            },
        }
    }
}

impl FeedIn {
    /// Refuses what does not belong to the type, what is missing, and addresses that may not be asked.
    pub fn read(&self, net: &Net, base: CurrencyCode, quote: CurrencyCode) -> Result<Feed> {
        let flaw =
            |param: &str, code: &'static str, message: &str| Err(Flaw::new(param, code, message).into());
        let is = |kind: FeedType| self.r#type == kind;
        if self.price.is_some() && !is(FeedType::Fixed) {
            return flaw("feed.price", "not_allowed", "only a fixed feed has a price");
        }
        let has_pull = self.interval_s.is_some() || self.median_of.is_some() || self.providers.is_some();
        if has_pull && !is(FeedType::Http) {
            return flaw("feed.providers", "not_allowed", "only an http feed asks providers");
        }
        match self.r#type {
            FeedType::Push => Ok(Feed::Push),
            FeedType::Fixed => match self.price.as_ref().map(RateValue::of) {
                Some(Some(price)) => Ok(Feed::Fixed { price }),
                Some(None) => {
                    flaw("feed.price", "out_of_range", "must be above zero, with at most 18 digits")
                }
                None => flaw("feed.price", "required", "is required"),
            },
            FeedType::Http => self.read_pull(net, base, quote).map(Feed::Http),
        }
    }

    fn read_pull(&self, net: &Net, base: CurrencyCode, quote: CurrencyCode) -> Result<Pull> {
        let providers = self.providers.as_deref().unwrap_or_default();
        if providers.is_empty() || providers.len() > 5 {
            return Err(Flaw::new("feed.providers", "out_of_range", "name 1 to 5 of them").into());
        }
        let providers = providers
            .iter()
            .enumerate()
            .map(|(place, it)| it.read(net, &format!("feed.providers[{place}]"), base, quote))
            .collect::<Result<Vec<_>>>()?;
        let most = providers.len() as u64;
        let median_of = within("feed.median_of", u64::from(self.median_of.unwrap_or(1)), 1, most)?;
        let interval_s = within("feed.interval_s", u64::from(self.interval_s.unwrap_or(60)), 5, 24 * 3600)?;
        Ok(Pull { interval_s: interval_s as u32, median_of: median_of as u32, providers })
    }
}

impl ProviderIn {
    fn read(&self, net: &Net, param: &str, base: CurrencyCode, quote: CurrencyCode) -> Result<Provider> {
        check_length(&format!("{param}.name"), &self.name, 40)?;
        let mut flaws: Flaws = vec![];
        let paths =
            [("price_path", &self.price_path), ("bid_path", &self.bid_path), ("ask_path", &self.ask_path)];
        for (name, path) in paths {
            if path.as_ref().is_some_and(|it| it.parse::<JsonPath>().is_err()) {
                let message = "must be a path such as data.rates[0].price";
                flaws.push(Flaw::new(&format!("{param}.{name}"), "invalid_format", message));
            }
        }
        let is_single = self.price_path.is_some();
        let is_double = self.bid_path.is_some() && self.ask_path.is_some();
        if is_single == (self.bid_path.is_some() || self.ask_path.is_some()) || !(is_single || is_double) {
            let message = "give price_path, or bid_path and ask_path";
            flaws.push(Flaw::new(&format!("{param}.price_path"), "required", message));
        }
        let header_name = self.header_name.as_ref().map(|it| it.to_ascii_lowercase());
        if header_name.is_some() != self.header_secret.is_some() {
            let message = "give header_name and header_secret, or neither";
            flaws.push(Flaw::new(&format!("{param}.header_name"), "required", message));
        }
        let is_header =
            |it: &String| HeaderName::from_bytes(it.as_bytes()).is_ok() && !RESERVED.contains(&it.as_str());
        if !header_name.as_ref().is_none_or(is_header) {
            let message = "must be the name of a header that is not set otherwise";
            flaws.push(Flaw::new(&format!("{param}.header_name"), "invalid_format", message));
        }
        let provider = Provider {
            header_name,
            header_secret: self.header_secret.clone(),
            name: self.name.clone(),
            url: self.url.clone(),
            price_path: self.price_path.clone(),
            bid_path: self.bid_path.clone(),
            ask_path: self.ask_path.clone(),
        };
        if let Err(why) = net.vet(&provider.url_for(base, quote)) {
            flaws.push(Flaw::new(&format!("{param}.url"), "invalid_format", why.to_string()));
        }
        if flaws.is_empty() { Ok(provider) } else { Err(crate::kernel::api::input::Flawed(flaws).into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(mid: &str) -> Quote {
        Quote::single(mid.parse().unwrap())
    }

    #[test]
    fn the_median_is_not_led_astray_by_one() {
        for (mids, wanted) in [
            (vec!["100"], Some("100")),
            (vec!["100", "1000000", "101"], Some("101")),
            (vec!["100", "102"], Some("101")),
            (vec!["0.01", "100", "102", "1000000"], Some("101")),
            (vec![], None),
        ] {
            let found = median(mids.iter().map(|it| quote(it)).collect());
            assert_eq!(found.map(|it| it.mid.to_string()).as_deref(), wanted, "{mids:?}");
        }
    }

    fn provider(price: Option<&str>, bid: Option<&str>, ask: Option<&str>) -> Provider {
        let text = |it: Option<&str>| it.map(str::to_owned);
        Provider {
            header_name: None,
            header_secret: None,
            name: "acme".into(),
            url: "https://acme.example/{base}-{quote}?b={base_lower}&q={quote_lower}".into(),
            price_path: text(price),
            bid_path: text(bid),
            ask_path: text(ask),
        }
    }

    #[test]
    fn an_answer_is_read_without_ever_being_a_float() {
        let read = |provider: Provider, body: &str| {
            provider.read(body.as_bytes()).map(|it| (it.bid.to_string(), it.ask.to_string()))
        };
        let body =
            r#"{"data": [{"price": 109500.12000000001, "bid": "109499", "ask": 1.095e5}], "error": null}"#;
        let same = |it: &str| Ok((it.to_owned(), it.to_owned()));
        assert_eq!(read(provider(Some("data[0].price"), None, None), body), same("109500.12000000001"));
        let both = read(provider(None, Some("data[0].bid"), Some("data[0].ask")), body);
        assert_eq!(both, Ok(("109499".into(), "109500".into())));
        let inverted = read(provider(None, Some("data[0].ask"), Some("data[0].bid")), body).unwrap_err();
        assert_eq!(inverted, "bid 109500 is above ask 109499");
        for (path, why) in [
            ("data[1].price", "the answer has no data[1].price"),
            ("error", "error is null, which is no price"),
            ("data", "the answer has no data"),
        ] {
            assert_eq!(read(provider(Some(path), None, None), body).unwrap_err(), why);
        }
        assert!(read(provider(Some("price"), None, None), "<html>").is_err());
    }

    #[test]
    fn the_pair_is_put_into_the_url() {
        let url = provider(None, None, None).url_for("BTC".parse().unwrap(), "USD".parse().unwrap());
        assert_eq!(url, "https://acme.example/BTC-USD?b=btc&q=usd");
    }
}
