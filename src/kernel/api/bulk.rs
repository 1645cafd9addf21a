//! Refusals of the items of a command that does many things at once.

use serde_json::{Map, Value};

use super::problem::status;
use crate::kernel::error::{Error, Kind, Refusal};

/// What a refusal tells, as the answer of one item.
pub fn problem_of(refusal: &dyn Refusal) -> Map<String, Value> {
    let mut problem = refusal.params();
    problem.insert("code".into(), refusal.code().into());
    problem.insert("status".into(), status(refusal.kind()).into());
    problem.insert("detail".into(), refusal.to_string().into());
    problem
}

/// The refusal of one item of an atomic command: the same, and which one.
#[derive(Debug)]
struct AtItem {
    index: usize,
    refusal: Box<dyn Refusal>,
}

/// The same refusal, with the `index` of the item.
pub fn at_item(index: usize, error: Error) -> Error {
    match error {
        Error::Refused(refusal) => AtItem { index, refusal }.into(),
        fault => fault,
    }
}

impl std::fmt::Display for AtItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "item {}: {}", self.index, self.refusal)
    }
}

impl Refusal for AtItem {
    fn code(&self) -> &'static str {
        self.refusal.code()
    }
    fn kind(&self) -> Kind {
        self.refusal.kind()
    }
    fn params(&self) -> Map<String, Value> {
        let mut params = self.refusal.params();
        params.insert("index".into(), self.index.into());
        params
    }
    fn of_contract(&self) -> bool {
        self.refusal.of_contract()
    }
}
