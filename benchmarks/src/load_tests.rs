//! The loop against a server of our own, in good and in bad times.

use super::*;
use crate::content::{Content, KeyOrder};
use crate::testing::{Faults, TestServer, load};

#[test]
fn what_is_put_is_got_and_verified() {
    let server = TestServer::start(Faults::default());
    let (place, content) = (server.place(KeyOrder::Scattered), Content::new(4096));
    let puts = Work::puts(&place, 0, 500, content.clone()).unwrap();
    let outcome = run(&server.endpoint, &puts, &load(16, None)).unwrap();
    assert_eq!((outcome.operations, outcome.errors, outcome.bytes), (500, 0, 500 * 4096));
    assert_eq!(server.objects().len(), 500);
    let key = format!("/b/{}", place.order.key(&place.prefix, 7));
    assert_eq!(server.objects()[&key], content.body(7));
    assert!(outcome.server_cpu.is_some() && outcome.server_memory.is_some());
    assert!(outcome.latency.percentile(50) > Duration::ZERO);

    let gets = Work::gets(&place, 500, content, true).unwrap();
    let outcome = run(&server.endpoint, &gets, &Load { warmup: 50, ..load(16, Some(1200)) }).unwrap();
    assert_eq!((outcome.operations, outcome.errors), (1200, 0));
    assert_eq!(outcome.verified, 1200 * 4096);
}

#[test]
fn large_bodies_go_and_come() {
    let server = TestServer::start(Faults::default());
    let (place, content) = (server.place(KeyOrder::Scattered), Content::new(3_000_001));
    run(&server.endpoint, &Work::prefill(&place, 0, 3, content.clone()), &load(2, None)).unwrap();
    let gets = Work::gets(&place, 3, content, true).unwrap();
    let outcome = run(&server.endpoint, &gets, &load(2, Some(6))).unwrap();
    assert_eq!((outcome.operations, outcome.errors, outcome.verified), (6, 0, 6 * 3_000_001));
}

#[test]
fn a_mix_gets_what_is_there() {
    let server = TestServer::start(Faults::default());
    let (place, content) = (server.place(KeyOrder::Scattered), Content::new(100));
    run(&server.endpoint, &Work::prefill(&place, 0, 50, content.clone()), &load(4, None)).unwrap();
    let mixed = Work::mixed(&place, 50, 50, 300, content, true).unwrap();
    let outcome = run(&server.endpoint, &mixed, &load(4, None)).unwrap();
    assert_eq!((outcome.operations, outcome.errors), (300, 0));
    assert!(server.objects().len() > 50 + 50);
}

#[test]
fn refusals_are_counted_with_their_code() {
    let server = TestServer::start(Faults { refuse_every: Some(10), ..Faults::default() });
    let puts = Work::puts(&server.place(KeyOrder::Scattered), 0, 100, Content::new(10)).unwrap();
    let outcome = run(&server.endpoint, &puts, &load(1, None)).unwrap();
    assert_eq!((outcome.operations, outcome.errors), (90, 10));
    let failures: Vec<(&String, &u64)> = outcome.failures.iter().collect();
    assert_eq!(failures, [(&"503 Service Unavailable SlowDown: no".to_owned(), &10)]);
}

#[test]
fn wrong_bytes_are_errors() {
    let server = TestServer::start(Faults { corrupt: true, ..Faults::default() });
    let (place, content) = (server.place(KeyOrder::Scattered), Content::new(1000));
    run(&server.endpoint, &Work::prefill(&place, 0, 5, content.clone()), &load(1, None)).unwrap();
    let outcome =
        run(&server.endpoint, &Work::gets(&place, 5, content, true).unwrap(), &load(1, Some(5))).unwrap();
    assert_eq!((outcome.operations, outcome.errors, outcome.verified), (0, 5, 0));
    let other = Content::new(999);
    let outcome =
        run(&server.endpoint, &Work::gets(&place, 5, other, false).unwrap(), &load(1, Some(5))).unwrap();
    assert_eq!(outcome.errors, 5, "a wrong length is noticed without comparing");
}

#[test]
fn pages_must_hold_their_keys() {
    for (short_pages, good) in [(false, true), (true, false)] {
        let server = TestServer::start(Faults { short_pages, ..Faults::default() });
        let place = server.place(KeyOrder::Ascending);
        run(&server.endpoint, &Work::prefill(&place, 0, 2500, Content::new(1)), &load(8, None)).unwrap();
        let pages = Work::pages(&place, 2500).unwrap();
        let result = run(&server.endpoint, &pages, &Load { warmup: 3, ..load(1, Some(30)) });
        assert_eq!(result.is_ok_and(|outcome| outcome.operations == 30), good);
    }
}

#[test]
fn a_server_that_hangs_up_is_called_again() {
    let server = TestServer::start(Faults { hang_up: true, ..Faults::default() });
    let puts = Work::puts(&server.place(KeyOrder::Scattered), 0, 50, Content::new(10)).unwrap();
    let outcome = run(&server.endpoint, &puts, &load(4, None)).unwrap();
    assert_eq!((outcome.operations, outcome.errors), (50, 0));
}

#[test]
fn nobody_there_is_an_error_not_a_hang() {
    let endpoint = Endpoint::new("http://127.0.0.1:9", "us-east-1", "a", "s").unwrap();
    let place = crate::work::Place {
        endpoint,
        bucket: "b".into(),
        prefix: String::new(),
        order: KeyOrder::Scattered,
    };
    let work = Work::puts(&place, 0, 1, Content::new(1)).unwrap();
    assert!(run(&place.endpoint, &work, &load(4, None)).is_err());
}

#[test]
fn keys_are_counted_across_frames() {
    let text = b"<Key>a</Key><<Key>b</Key><KKey><K<Key>c</Key>".repeat(3);
    for cut in 1..20 {
        let mut counter = KeyCounter::default();
        text.chunks(cut).for_each(|data| counter.visit(data));
        assert_eq!(counter.keys, 9, "in frames of {cut}");
    }
}
