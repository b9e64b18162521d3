//! The pages over a made-up chain: what they say, that nothing foreign gets through, and that they stay small.

mod mock;

use alloy_primitives::B256;
use mock::{HOSTILE, Mock};
use oceanid_web::{Answer, HEADERS, Web};
use std::sync::Arc;

/// Largest page, bytes.
const MAX_PAGE: usize = 50 << 10;

fn web(mock: Mock) -> Web {
    Web::new(Arc::new(mock))
}

fn ok(web: &Web, target: &str) -> Arc<Answer> {
    let answer = web.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    answer
}

/// The text of a page: tags taken out, white space as one blank.
fn text(answer: &Answer) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in answer.body.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every page there is, by target.
fn targets(mock: &Mock) -> Vec<String> {
    let mut all: Vec<String> = [
        "/",
        "/?live=no",
        "/block/0",
        "/block/30",
        "/block/99",
        "/batch/1",
        "/sequencer/1",
        "/sequencer/4",
        "/epoch/0",
        "/epoch/1",
        "/epoch/2",
    ]
    .map(str::to_owned)
    .into();
    let hash = mock.hash_of(30);
    all.push(format!("/block/{hash}"));
    all.push("/block/30?page=2".to_owned());
    all.extend(mock.transactions_of(30).iter().take(4).map(|hash| format!("/tx/{hash}")));
    all.push(format!("/tx/{}", mock::PENDING));
    all
}

#[test]
fn the_overview_tells_who_sequences() {
    let answer = ok(&web(Mock::new(4)), "/");
    let page = text(&answer);
    for expected in [
        "Sequencers",
        "Block 99",
        "Epoch 1 40 of 60 blocks",
        "Missed in this epoch 3 slots of 40 drawn",
        "4 members number 1, quorum 3",
        "latest finalised by the committee 99 –",
        "safe its batch is on L1 80 19 blocks",
        "finalized its output is final on L1 60 39 blocks",
        "Runway at this rate 3 y 65 d",
        "Rule 20.0 % of the stake a year",
        "stop the chain, more than 1/3 2 40,000 2",
        "finalise alone, a quorum of 2/3 3 60,000 3",
        "2 by stake, 2 by heads",
        "2,500 of 10,000, as 4.0 equal members",
        "19.8 %",
        "blob 3 1,042",
        "Waiting for 1 min 10 s: L1 does not answer check the L1 endpoint",
        "1 missed",
    ] {
        assert!(page.contains(expected), "`{expected}` is not in: {page}");
    }
    assert!(answer.body.contains("http-equiv=\"refresh\""));
    assert!(!ok(&web(Mock::new(4)), "/?live=no").body.contains("http-equiv"));
}

#[test]
fn pages_tell_their_subject() {
    let mock = Mock::new(4);
    let (block, hashes) = (mock.hash_of(30), mock.transactions_of(30));
    let web = web(mock);
    for (target, expected) in [
        (
            "/block/30",
            &[
                "Block 30",
                "finalized",
                "Leader",
                "3 of 4 members signed in view 1,031, 3 were needed not in it: #4",
                "deposit",
                "new contract",
            ][..],
        ),
        (&format!("/block/{block}"), &["Block 30"]),
        ("/block/0", &["none: genesis is given"]),
        ("/batch/1", &["Batch 1", "Blocks 1 to 60 , 60", "final", "blob", "none (77)", "Output final"]),
        (
            "/sequencer/1",
            &[
                "Sequencer 1",
                "active",
                "Seat 0 of 4",
                "25.0 % of the stake",
                "19.8 %",
                "Rewards by epoch",
                "Stake on its way out",
            ],
        ),
        ("/epoch/0", &["Epoch 0", "complete", "Blocks 0 to 59", "Next epoch"]),
        ("/epoch/1", &["running", "60 to 119"]),
        ("/epoch/2", &["to come", "120 to 179"]),
        (&format!("/tx/{}", hashes[0]), &["deposit", "success", "Source on L1", "Minted 5 METIS"]),
        (
            &format!("/tx/{}", hashes[1]),
            &[
                "failed",
                "Value 0.5 METIS",
                "Gas price 1 gwei of METIS for a unit of gas",
                "of which for data on L1 0.000007 METIS",
                "As text:",
            ],
        ),
        (&format!("/tx/{}", hashes[2]), &["New contract"]),
        (&format!("/tx/{}", mock::PENDING), &["waits in this node's pool"]),
    ] {
        let page = text(&ok(&web, target));
        for expected in expected {
            assert!(page.contains(expected), "{target}: `{expected}` is not in: {page}");
        }
    }
}

#[test]
fn nothing_foreign_gets_through() {
    let mock = Mock::hostile();
    let targets = targets(&mock);
    let web = web(mock);
    let mut shown = 0;
    for target in &targets {
        let body = &ok(&web, target).body;
        for forbidden in ["<script", "<img", "onerror=\"", "javascript:\"", "\u{202e}", "style=\""] {
            assert!(!body.contains(forbidden), "{target} has {forbidden}: {body}");
        }
        shown += usize::from(body.contains("&lt;script&gt;"));
    }
    assert!(shown >= targets.len(), "the chain's name is on every page, escaped");
    for target in [
        "/<script>",
        "/%3Cscript%3E",
        "/block/%3Cscript%3E",
        "/tx/0x%3Cscript%3E",
        "/search?q=%3Cscript%3E",
        "/search?q=%E2%80%AE",
    ] {
        let answer = web.get(target);
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.status);
        assert!(!answer.body.contains("<script") && !answer.body.contains('\u{202e}'), "{target}: {}", answer.body);
    }
    assert!(HOSTILE.contains("<script>"));
    assert!(HEADERS.iter().any(|(name, value)| *name == "content-security-policy" && value.starts_with("default-src 'none'")));
}

#[test]
fn pages_stay_small_with_a_full_committee_and_a_full_block() {
    let mock = Mock::hostile();
    let targets = targets(&mock);
    let web = web(mock);
    for target in targets {
        let body = &ok(&web, &target).body;
        assert!(body.len() < MAX_PAGE, "{target}: {} bytes", body.len());
    }
}

#[test]
fn what_is_not_there_is_said() {
    let web = web(Mock::new(4));
    for (target, status, expected) in [
        ("/block/100", 404, "There is no block 100 yet: the newest is 99"),
        ("/block/30?page=3", 404, "Block 30 has no page 3 of transactions"),
        ("/batch/9", 404, "nothing on batch 9"),
        ("/sequencer/5", 404, "No sequencer has the number 5"),
        ("/epoch/3", 404, "Epoch 3 has no committee yet"),
        ("/epoch/18446744073709551615", 404, "has no committee yet"),
        ("/block/x", 400, "A block is given by its number, not “x”."),
        ("/tx/0x12", 400, "A transaction's hash is 0x and 64 hexadecimal digits"),
        ("/search?q=", 400, "can be found here"),
        ("/nothing", 404, "There is no page"),
    ] {
        let answer = web.get(target);
        let page = text(&answer);
        assert_eq!(answer.status, status, "{target}");
        assert!(page.contains(expected), "{target}: {page}");
    }
    let none = B256::repeat_byte(0x44);
    for target in [format!("/tx/{none}"), format!("/block/{none}")] {
        assert_eq!(web.get(&target).status, 404);
    }
}

#[test]
fn search_leads_to_the_page() {
    let mock = Mock::new(4);
    let (block, transaction) = (mock.hash_of(30), mock.transactions_of(30)[0]);
    let web = web(mock);
    for (asked, location) in [
        ("30".to_owned(), "/block/30".to_owned()),
        ("+1,030+".to_owned(), "/block/1030".to_owned()),
        (block.to_string(), format!("/block/{block}")),
        (transaction.to_string(), format!("/tx/{transaction}")),
    ] {
        let answer = web.get(&format!("/search?q={asked}"));
        assert_eq!((answer.status, answer.location.clone()), (303, Some(location)));
    }
}

#[test]
fn a_broken_store_is_a_plain_page() {
    let answer = web(Mock::broken()).get("/");
    assert_eq!(answer.status, 500);
    assert!(text(&answer).contains("its log says why"));
    assert!(!answer.body.contains("disk"), "what is wrong is for the log");
}

#[test]
fn the_style_sheet_and_the_icon_are_files() {
    let web = web(Mock::new(4));
    assert_eq!(ok(&web, "/style.css").content_type, "text/css; charset=utf-8");
    assert!(ok(&web, "/favicon.svg").body.starts_with("<svg"));
}
