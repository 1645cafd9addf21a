//! State machines: one constant table each, one function that moves, one history.
//!
//! A table is what `GET meta/state-machines` serves, what the documentation draws and what property tests walk. Nobody
//! sets a status but [`History::step`], so what is not in the table cannot happen.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    api::{call::Caller, input::Named, principal::Actor, problem::ApiRefusal},
    clock::Time,
    error::Result,
    store::codec::{Decode, Encode},
};

/// The table of one kind of object: in state `S`, event `E` leads to `S`.
pub struct Machine<S: 'static, E: 'static> {
    /// The object: `withdrawal`.
    pub name: &'static str,
    /// The states an object may be made in.
    pub initial: &'static [S],
    pub moves: &'static [(S, E, S)],
}

impl<S: Named, E: Named> Machine<S, E> {
    /// Where `event` leads from `from`; refuses `invalid_state_transition`.
    pub fn next(&self, from: S, event: E) -> Result<S> {
        let to = self.moves.iter().find(|it| it.0 == from && it.1 == event).map(|it| it.2);
        to.ok_or_else(|| self.refusal(from, event).into())
    }

    /// The events allowed in `from`, in the order of the table.
    pub fn allowed(&self, from: S) -> Vec<&'static str> {
        let mut events = vec![];
        for (_, event, _) in self.moves.iter().filter(|it| it.0 == from) {
            if !events.contains(&event.name()) {
                events.push(event.name());
            }
        }
        events
    }

    /// Whether nothing leads on from `state`.
    pub fn is_final(&self, state: S) -> bool {
        !self.moves.iter().any(|it| it.0 == state)
    }

    pub fn refusal(&self, from: S, event: E) -> ApiRefusal {
        ApiRefusal::InvalidStateTransition {
            event: event.name().to_owned(),
            current_status: from.name().to_owned(),
            allowed_events: self.allowed(from).into_iter().map(str::to_owned).collect(),
        }
    }

    /// As served at `GET meta/state-machines`.
    pub fn table(&self) -> Value {
        let rows: Vec<Value> = self
            .moves
            .iter()
            .map(|(from, event, to)| json!({ "from": from.name(), "event": event.name(), "to": to.name() }))
            .collect();
        json!({
            "object": self.name,
            "states": S::ALL.iter().map(|it| it.name()).collect::<Vec<_>>(),
            "initial": self.initial.iter().map(|it| it.name()).collect::<Vec<_>>(),
            "final": S::ALL.iter().filter(|it| self.is_final(**it)).map(|it| it.name()).collect::<Vec<_>>(),
            "transitions": rows,
        })
    }

    /// What is wrong with the table itself; empty when it is sound. Every module tests its own.
    #[cfg(test)]
    pub fn flaws(&self) -> Vec<String> {
        let mut flaws = vec![];
        for (place, (from, event, to)) in self.moves.iter().enumerate() {
            if self.moves[..place].iter().any(|it| it.0 == *from && it.1 == *event) {
                flaws.push(format!("{} + {} leads to two states", from.name(), event.name()));
            }
            if from == to {
                flaws.push(format!("{} + {} goes nowhere", from.name(), event.name()));
            }
        }
        let mut reached: Vec<S> = self.initial.to_vec();
        let mut looked_at = 0;
        while let Some(from) = reached.get(looked_at).copied() {
            for (_, _, to) in self.moves.iter().filter(|it| it.0 == from) {
                if !reached.contains(to) {
                    reached.push(*to);
                }
            }
            looked_at += 1;
        }
        flaws.extend(
            S::ALL
                .iter()
                .filter(|it| !reached.contains(it))
                .map(|it| format!("{} is never reached", it.name())),
        );
        flaws
    }
}

/// One step in the life of an object.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Change<S: 'static> {
    pub from: Option<S>,
    pub to: S,
    pub event: String,
    pub actor: Actor,
    pub reason: Option<String>,
    pub at: Time,
    pub request_id: String,
    /// Of the input that caused it: tells the same command again from another one.
    pub fingerprint: [u8; 16],
}

/// How an object came to the state it is in. Never empty.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct History<S: 'static>(Vec<Change<S>>);

/// What [`History::step`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Moved,
    /// The very command that led here came again: change nothing, answer with the object.
    Repeated,
}

impl<S: Named> History<S> {
    /// The history of an object made in state `initial`.
    pub fn begin(initial: S, caller: &Caller, at: Time) -> History<S> {
        History(vec![Change {
            from: None,
            to: initial,
            event: "create".to_owned(),
            actor: caller.actor(),
            reason: None,
            at,
            request_id: caller.request_id.clone(),
            fingerprint: caller.fingerprint,
        }])
    }

    pub fn status(&self) -> S {
        // Invariant: never empty, so the last change is there.
        self.0[self.0.len() - 1].to
    }

    /// Who made the object.
    pub fn creator(&self) -> Actor {
        self.0[0].actor
    }

    pub fn last(&self) -> &Change<S> {
        &self.0[self.0.len() - 1]
    }

    /// Whether this very command moved it by `event` before, whatever has become of it since.
    pub fn was<E: Named>(&self, event: E, caller: &Caller) -> bool {
        let same = |it: &Change<S>| {
            (it.event.as_str(), it.actor, it.fingerprint)
                == (event.name(), caller.actor(), caller.fingerprint)
        };
        self.0.iter().any(same)
    }

    #[cfg(test)]
    pub fn changes(&self) -> &[Change<S>] {
        &self.0
    }

    /// Moves by `event` and notes who, why and when. Repeating the command that led to the current state is
    /// [`Step::Repeated`]; any other illegal move refuses `invalid_state_transition`.
    pub fn step<E: Named>(
        &mut self,
        machine: &Machine<S, E>,
        event: E,
        caller: &Caller,
        reason: Option<&str>,
        at: Time,
    ) -> Result<Step> {
        let from = self.status();
        let last = self.last();
        let to = match machine.next(from, event) {
            Ok(to) => to,
            Err(_) if last.event == event.name() && last.fingerprint == caller.fingerprint => {
                return Ok(Step::Repeated);
            }
            Err(refusal) => return Err(refusal),
        };
        self.0.push(Change {
            from: Some(from),
            to,
            event: event.name().to_owned(),
            actor: caller.actor(),
            reason: reason.map(str::to_owned),
            at,
            request_id: caller.request_id.clone(),
            fingerprint: caller.fingerprint,
        });
        Ok(Step::Moved)
    }

    /// As shown in `status_history`.
    pub fn out(&self) -> Vec<ChangeOut> {
        let out = |it: &Change<S>| ChangeOut {
            from: it.from.map(|it| it.name()),
            to: it.to.name(),
            event: it.event.clone(),
            actor: it.actor,
            reason: it.reason.clone(),
            at: it.at,
            request_id: it.request_id.clone(),
        };
        self.0.iter().map(out).collect()
    }
}

/// One step in the life of an object, as shown.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ChangeOut {
    #[schema(value_type = Option<String>)]
    pub from: Option<&'static str>,
    #[schema(value_type = String)]
    pub to: &'static str,
    pub event: String,
    pub actor: Actor,
    pub reason: Option<String>,
    pub at: Time,
    pub request_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::api::input::text_enum;

    text_enum! { pub enum Door { Open = "open", Shut = "shut", Gone = "gone" } }
    text_enum! { pub enum Push { Close = "close", Break = "break" } }

    const DOOR: Machine<Door, Push> = Machine {
        name: "door",
        initial: &[Door::Open],
        moves: &[(Door::Open, Push::Close, Door::Shut), (Door::Shut, Push::Break, Door::Gone)],
    };

    #[test]
    fn a_repeat_changes_nothing_and_another_command_is_refused() {
        let (mut caller, at) = (Caller::system(None), Time::ZERO);
        let mut history = History::begin(Door::Open, &caller, at);
        assert_eq!(history.step(&DOOR, Push::Close, &caller, None, at).unwrap(), Step::Moved);
        assert_eq!(history.step(&DOOR, Push::Close, &caller, None, at).unwrap(), Step::Repeated);
        caller.fingerprint = [1; 16];
        let refused = history.step(&DOOR, Push::Close, &caller, None, at).unwrap_err();
        assert_eq!(refused.to_string(), "invalid_state_transition: cannot close what is shut");
        assert_eq!((history.status(), history.changes().len()), (Door::Shut, 2));
    }

    #[test]
    fn a_sound_table_has_no_flaws_and_a_broken_one_names_them() {
        assert_eq!(DOOR.flaws(), Vec::<String>::new());
        let broken = Machine { moves: &[(Door::Open, Push::Close, Door::Open)], ..DOOR };
        assert_eq!(
            broken.flaws(),
            ["open + close goes nowhere", "shut is never reached", "gone is never reached"]
        );
    }
}
