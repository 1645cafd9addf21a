//! What other modules may know of investments.

use crate::kernel::{api::input::text_enum, clock::Time, error::refusals, id::id};

id!(/** Money put into a plan. */ InvestmentId, "inv");

text_enum! {
    pub enum InvestmentStatus {
        /// It has not begun: its start is later, or its payment has not settled.
        Pending = "pending",
        Active = "active",
        /// It stands still: it earns nothing, and its maturity moves away.
        Suspended = "suspended",
        /// Its term is over; what becomes of the money is being done.
        Matured = "matured",
        Closed = "closed",
        /// It was closed before maturity.
        EarlyClosed = "early_closed",
        Canceled = "canceled",
        /// What the money went into failed.
        Defaulted = "defaulted",
    }
}

text_enum! {
    /// What becomes of the money at maturity. Rolling over needs a version of the plan that is published and takes the
    /// amount, and a user who may pay; otherwise all is paid out.
    pub enum MaturityInstruction {
        PayOut = "pay_out",
        /// The principal goes into the plan again, profit is paid out.
        RollPrincipal = "roll_principal",
        /// With the profit that comes at maturity.
        RollAll = "roll_all",
    }
}

refusals! {
    /// What Investment refuses.
    pub enum InvestmentRefusal {
        /// It has begun, and may not be canceled any more: its cooling-off is over, or it has earned something. Close
        /// it.
        CoolingOffOver { cooling_off_until: Time }: Conflict "cooling_off_over" => "cooling-off ended at {cooling_off_until}",
        /// Maturity is too near, or over, to say otherwise.
        InstructionFixed { changeable_until: Time }: Conflict "instruction_fixed" => "fixed since {changeable_until}",
        /// Nobody has asked for it to be declared in default: somebody asks, somebody else approves.
        DefaultNotRequested: Conflict "default_not_requested" => "nobody has asked for this",
    }
}
