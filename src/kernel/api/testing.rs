//! What only an instance started in memory answers: moving its clock, and letting it fail.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::json;

use super::{
    call::Call,
    endpoint::{Endpoint, post},
    input::{Flaw, input},
};
use crate::kernel::{boot::Kernel, clock::Time, error::fault, events::failpoint::Failpoint};

#[derive(utoipa::ToSchema)]
struct AdvanceIn {
    /// From 1 to ten years.
    seconds: u64,
}
input!(AdvanceIn { seconds });

#[derive(Serialize, utoipa::ToSchema)]
struct ClockOut {
    #[schema(value_type = String)]
    object: &'static str,
    now: Time,
}

#[derive(utoipa::ToSchema)]
struct FaultIn {
    point: Failpoint,
    times: u32,
}
input!(FaultIn { point, times });

#[derive(Serialize, utoipa::ToSchema)]
struct FaultOut {
    #[schema(value_type = String)]
    object: &'static str,
    point: Failpoint,
    times: u32,
}

pub fn endpoints() -> Vec<Endpoint> {
    let faults = post("/testing/faults")
        .about("Let the next passes of a failpoint fail")
        .operator()
        .plain()
        .status(200)
        .example(json!({ "point": "after_send_before_ack", "times": 1 }))
        .runs(|kernel: Arc<Kernel>, call: Call<(), FaultIn>| async move {
            let FaultIn { point, times } = call.input;
            kernel.worker.failpoints().fail_next(point, times);
            Ok(FaultOut { object: "fault", point, times })
        });
    let about = "Move the clock; answers when everything that came due has run";
    let advance = post("/testing/clock/advance").about(about).operator().plain().status(200);
    let advance = advance.example(json!({ "seconds": 60 })).runs(
        |kernel: Arc<Kernel>, call: Call<(), AdvanceIn>| async move {
            let seconds = call.input.seconds;
            if !(1..=10 * 366 * 24 * 3600).contains(&seconds) {
                return Err(Flaw::new("seconds", "out_of_range", "must be from 1 to ten years").into());
            }
            let worker = kernel.worker.clone();
            let by = Duration::from_secs(seconds);
            let settled = tokio::task::spawn_blocking(move || worker.advance(by)).await;
            settled.map_err(|error| fault!("the worker panicked: {error}"))??;
            Ok(ClockOut { object: "clock", now: kernel.store.clock().now() })
        },
    );
    vec![advance, faults]
}
