//! The HTTP surface: what a module says of an operation ([`endpoint`]), and everything every operation gets without
//! saying so: who is asking, limits, strict input, idempotency, audit, problem documents, OpenAPI.

pub mod audit;
pub mod body;
pub mod bulk;
pub mod call;
pub mod dispatch;
pub mod endpoint;
pub mod idempotency;
pub mod input;
pub mod json;
pub mod limits;
pub mod meta;
pub mod metrics;
pub mod object;
pub mod openapi;
pub mod page;
pub mod pieces;
pub mod principal;
pub mod print;
pub mod problem;
mod request;
mod response;
pub mod server;
pub mod stream;
pub mod testing;
pub mod text;
mod who;
pub mod whole;

#[cfg(test)]
mod tests;
