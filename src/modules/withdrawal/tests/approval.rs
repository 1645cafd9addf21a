//! Who approves, and how often.

use super::{doubles::*, *};

/// What is waiting, with the client asking for this many people.
fn waiting(approvals: u32) -> (Desk, String) {
    let desk = Desk::open();
    desk.set(|it| it.settings.withdrawal.approvals = approvals);
    let withdrawal = desk.withdrawal("1500.00");
    assert_eq!(desk.status(&withdrawal), "pending_review");
    (desk, withdrawal)
}

#[test]
fn different_people_approve_and_each_counts_once() {
    // Asked for by key 1, the money of user 2.
    type Row = (u32, Vec<(Caller, Result<&'static str, &'static str>)>);
    let table: Vec<Row> = vec![
        (
            1,
            vec![(key(1), Err("self_approval")), (owner(), Err("self_approval")), (staff(7), Ok("approved"))],
        ),
        (1, vec![(key(5), Ok("approved")), (key(1), Err("self_approval"))]),
        (
            2,
            vec![
                (staff(7), Ok("pending_review")),
                (staff(7), Err("already_voted")),
                (staff(2), Err("self_approval")),
                (staff(8), Ok("approved")),
                (staff(8), Ok("approved")), // The very command that led here: nothing changes.
                (staff(9), Err("invalid_state_transition")),
            ],
        ),
        (3, vec![(key(5), Ok("pending_review")), (key(6), Ok("pending_review")), (staff(5), Ok("approved"))]),
    ];
    for (approvals, votes) in table {
        let (desk, withdrawal) = waiting(approvals);
        for (voter, wanted) in votes {
            let who = voter.actor();
            let got = desk.approve(voter, &withdrawal, 1);
            let got = got.as_ref().map(|it| it["status"].as_str().unwrap());
            assert_eq!(got.map_err(String::as_str), wanted, "{approvals} needed, {who}");
        }
        let shown = desk.show(&withdrawal);
        assert_eq!(shown["votes"].as_array().unwrap().len(), approvals as usize);
        assert_eq!(desk.events(), ["withdrawal.requested", "withdrawal.approved"]);
    }
}

#[test]
fn votes_are_void_once_the_rules_change() {
    let (desk, withdrawal) = waiting(2);
    desk.approve(staff(7), &withdrawal, 1).unwrap();
    desk.set(|it| it.settings.withdrawal.approvals = 3);
    let shown = desk.show(&withdrawal);
    assert_eq!((&shown["revision"], &shown["votes"][0]["counts"]), (&json!(2), &json!(false)));
    assert_eq!(desk.approve(staff(8), &withdrawal, 1).unwrap_err(), "revision_stale");
    for voter in [8, 9] {
        assert_eq!(desk.approve(staff(voter), &withdrawal, 2).unwrap()["status"], "pending_review");
    }
    // Whoever voted under the old rules votes again.
    assert_eq!(desk.approve(staff(7), &withdrawal, 2).unwrap()["status"], "approved");
}

#[test]
fn loosening_the_rules_does_not_approve_by_itself() {
    let (desk, withdrawal) = waiting(2);
    desk.approve(staff(7), &withdrawal, 1).unwrap();
    desk.set(|it| it.settings.withdrawal.approvals = 1);
    assert_eq!(desk.status(&withdrawal), "pending_review");
    assert_eq!(desk.approve(staff(7), &withdrawal, 2).unwrap()["status"], "approved");
}

#[test]
fn a_vote_comes_too_late_when_it_was_decided_or_expired() {
    let (desk, withdrawal) = waiting(1);
    desk.reject(staff(7), &withdrawal).unwrap();
    assert_eq!(desk.reject(staff(7), &withdrawal).unwrap()["status"], "rejected");
    assert_eq!(desk.approve(staff(8), &withdrawal, 1).unwrap_err(), "invalid_state_transition");
    assert_eq!(desk.cancel(owner(), &withdrawal).unwrap_err(), "invalid_state_transition");

    let (desk, withdrawal) = waiting(1);
    desk.wait(30 * DAY);
    assert_eq!(desk.approve(staff(8), &withdrawal, 1).unwrap_err(), "invalid_state_transition");
    assert_eq!(desk.cancel(owner(), &withdrawal).unwrap_err(), "invalid_state_transition");
    desk.meet_deadlines();
    assert_eq!(desk.status(&withdrawal), "expired");
    assert_eq!(desk.world.state().of(AVAILABLE), 2_000_00);
    assert_eq!(desk.events(), ["withdrawal.requested", "withdrawal.expired"]);
}

#[test]
fn a_user_cancels_its_own_and_nobody_elses() {
    let (desk, withdrawal) = waiting(1);
    let mut stranger = owner();
    stranger.reach = Reach::Own(id(9));
    assert_eq!(desk.cancel(stranger, &withdrawal).unwrap_err(), "not_found");
    assert_eq!(desk.cancel(owner(), &withdrawal).unwrap()["status"], "canceled");
    assert_eq!(desk.world.state().of(AVAILABLE), 2_000_00);
}

/// The last vote once counted as two changes: whoever had read version 1 found version 3.
#[test]
fn each_vote_is_one_change_and_the_last_one_too() {
    let (desk, withdrawal) = waiting(2);
    assert_eq!(desk.show(&withdrawal)["version"], 1);
    assert_eq!(desk.approve(staff(7), &withdrawal, 1).unwrap()["version"], 2);
    assert_eq!(desk.approve(staff(8), &withdrawal, 1).unwrap()["version"], 3);
    assert_eq!(desk.show(&withdrawal)["version"], 3);
}
