//! Many clients race for the same keys, and the server is killed on the way: one of them wins each, and nobody is told wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use ringfort_acceptance::{Connection, Keys, Server, body_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const RACERS: u64 = 24;
const LENGTH: usize = 700;

/// What a racer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Won,
    Lost,
    /// An error, or no answer: it may have won.
    Nothing,
}

/// Tries to be the first to write each key.
async fn race(keys: Keys, racer: u64, count: u64, done: Arc<AtomicU64>) -> Vec<Told> {
    let mut connection: Option<Connection> = None;
    let mut told = Vec::new();
    for number in 0..count {
        let (key, only_first) = (format!("k{number}"), [("if-none-match", "*")]);
        let body = body_of(&key, racer, LENGTH);
        let call = async {
            let connection = match &mut connection {
                Some(connection) => connection,
                none => none.insert(Connection::open(&keys).await?),
            };
            connection.call_with("PUT", &format!("/race/{key}"), &[], body, &only_first).await
        };
        let reply = call.await;
        told.push(match reply.as_ref().map(|reply| reply.status.as_u16()) {
            Ok(200) => Told::Won,
            // 409 is AWS's answer to a race that another request decided meanwhile.
            Ok(412 | 409) => Told::Lost,
            Ok(500..) => Told::Nothing,
            Ok(status) => panic!("{key}: {status} {}", reply.unwrap().text()),
            Err(_) => {
                connection = None;
                Told::Nothing
            }
        });
        done.fetch_add(1, Ordering::Relaxed);
    }
    told
}

/// Lets all racers race for `count` keys while `disturb` runs, and checks every key.
async fn check_race(server: &mut Server, count: u64, kills: u64) {
    server.make_bucket("race").await.unwrap();
    let keys = server.keys().unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let racers: Vec<_> =
        (1..=RACERS).map(|racer| tokio::spawn(race(keys.clone(), racer, count, Arc::clone(&done)))).collect();
    for kill in 1..=kills {
        while done.load(Ordering::Relaxed) < RACERS * count * kill / (kills + 1) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.kill();
        server.start().unwrap();
    }
    let mut told = Vec::new();
    for racer in racers {
        told.push(racer.await.unwrap());
    }
    let mut connection = Connection::open(&keys).await.unwrap();
    let (mut won, mut unknown, mut nobody) = (0, 0, 0);
    for number in 0..count {
        let key = format!("k{number}");
        let of = |wanted: Told| -> Vec<u64> {
            (1..)
                .zip(&told)
                .filter(|(_, told)| told[usize::try_from(number).unwrap()] == wanted)
                .map(|(racer, _)| racer)
                .collect()
        };
        let (winners, losers, doubtful) = (of(Told::Won), of(Told::Lost), of(Told::Nothing));
        assert!(winners.len() <= 1, "{key} was won by {winners:?}");
        let got = connection.call("GET", &format!("/race/{key}"), &[], Bytes::new()).await.unwrap();
        let holder = (1..=RACERS).find(|racer| got.body == body_of(&key, *racer, LENGTH));
        match got.status.as_u16() {
            200 => {
                let holder = holder.expect("a body that a racer wrote");
                assert!(!losers.contains(&holder), "{key} holds what racer {holder} was told to be refused");
                assert!(
                    winners.is_empty() || winners == [holder],
                    "{key}: {winners:?} won, {holder} is there"
                );
            }
            404 => {
                assert!(
                    winners.is_empty() && losers.is_empty(),
                    "{key}: {winners:?} won and it is not there"
                );
                nobody += 1;
            }
            status => panic!("{key}: {status}"),
        }
        won += winners.len();
        unknown += doubtful.len();
    }
    println!(
        "{RACERS} racers, {count} keys, {kills} kills: tried {}, {won} told that they won, {unknown} told nothing, \
         {nobody} keys without a winner",
        RACERS * count
    );
    if kills == 0 {
        assert_eq!((won as u64, unknown), (count, 0), "without a failure each key has its winner");
    } else {
        assert!(won > 0 && unknown > 0, "the kills came when nobody raced");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_creates_each_key() {
    let mut server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    check_race(&mut server, 200, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_creates_each_key_across_kills() {
    let mut server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    check_race(&mut server, 400, 3).await;
}

/// Adds one to the number in an object, again and again, by compare and swap.
async fn count_up(keys: Keys, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) -> u64 {
    let mut connection: Option<Connection> = None;
    let mut doubtful = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut wrote = false;
        let step = async {
            let connection = match &mut connection {
                Some(connection) => connection,
                none => none.insert(Connection::open(&keys).await?),
            };
            let now = connection.call("GET", "/counter/n", &[], Bytes::new()).await?;
            if now.status.is_server_error() {
                return Ok(());
            }
            let etag = now.headers["etag"].to_str()?.to_owned();
            let next = now.good()?.text().parse::<u64>()? + 1;
            wrote = true;
            let same = [("if-match", etag.as_str())];
            let reply =
                connection.call_with("PUT", "/counter/n", &[], next.to_string().into(), &same).await?;
            match reply.status.as_u16() {
                200 => {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    wrote = false;
                }
                409 | 412 => wrote = false,
                500.. => {}
                status => panic!("{status} {}", reply.text()),
            }
            anyhow::Ok(())
        };
        if step.await.is_err() {
            connection = None;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        doubtful += u64::from(wrote);
    }
    doubtful
}

#[tokio::test(flavor = "multi_thread")]
async fn compare_and_swap_counts_each_success_once() {
    let mut server = Server::with(&["--devices", "3", "--policy", "replicated:3"]).start().unwrap();
    server.make_bucket("counter").await.unwrap();
    let keys = server.keys().unwrap();
    let mut connection = Connection::open(&keys).await.unwrap();
    connection.call("PUT", "/counter/n", &[], "0".into()).await.unwrap().good().unwrap();
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|_| tokio::spawn(count_up(keys.clone(), Arc::clone(&stop), Arc::clone(&acknowledged))))
        .collect();
    for goal in [200, 400, 600] {
        while acknowledged.load(Ordering::Relaxed) < goal {
            assert!(
                !clients.iter().any(tokio::task::JoinHandle::is_finished),
                "a client met what it should not"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if goal < 600 {
            server.kill();
            server.start().unwrap();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut doubtful = 0;
    for client in clients {
        doubtful += client.await.unwrap();
    }
    let mut connection = Connection::open(&keys).await.unwrap();
    let end = connection.call("GET", "/counter/n", &[], Bytes::new()).await.unwrap().good().unwrap();
    let (end, acknowledged): (u64, u64) = (end.text().parse().unwrap(), acknowledged.load(Ordering::Relaxed));
    println!(
        "two kills: {acknowledged} increments acknowledged, {doubtful} of unknown outcome, the counter is {end}"
    );
    assert!((acknowledged..=acknowledged + doubtful).contains(&end), "increments were lost or made twice");
}
