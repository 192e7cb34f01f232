//! A PostgreSQL server of the test's own, and every scenario on it.

use crate::cloud::Cloud;
use ringfort_db::Db;
use ringfort_test_support::PostgresServer;

async fn database(server: &PostgresServer, name: &str) -> Db {
    Db::postgres(&server.database(name)).await.unwrap()
}

#[tokio::test]
async fn all_scenarios_on_postgresql() {
    let server = PostgresServer::start();
    for (name, scenario) in crate::all() {
        println!("{name}");
        let db = database(&server, name).await;
        scenario(Cloud::on(db.clone(), None).await).await;
        db.close().await;
    }
}

/// Transactions that meet are run again as long as they read what they read.
#[tokio::test]
async fn transactions_that_meet_are_run_again() {
    let server = PostgresServer::start();
    let db = database(&server, "meetings").await;
    db.execute("CREATE TABLE counters (id TEXT PRIMARY KEY, n BIGINT NOT NULL)", &[]).await.unwrap();
    db.execute("INSERT INTO counters (id, n) VALUES ('a', 0), ('b', 0)", &[]).await.unwrap();
    let add = "UPDATE counters SET n = n + 1 WHERE id = $1";
    let adding = (0..8).map(async |_| db.execute(add, &["a".into()]).await);
    for done in futures_util::future::join_all(adding).await {
        assert_eq!(done.unwrap(), 1);
    }
    let count = async |id: &str| {
        db.fetch("SELECT n FROM counters WHERE id = $1", &[id.into()]).await.unwrap()[0].int(0)
    };
    assert_eq!(count("a").await, 8);

    // Each reads what the other writes: the second commits only if that is still so.
    for (read_again, wanted) in [(false, true), (true, false)] {
        let (mut first, mut second) = (db.begin().await.unwrap(), db.begin().await.unwrap());
        first.fetch("SELECT n FROM counters WHERE id = 'b'", &[]).await.unwrap();
        let read = if read_again { "a" } else { "none" };
        second.fetch("SELECT n FROM counters WHERE id = $1", &[read.into()]).await.unwrap();
        first.execute(add, &["a".into()]).await.unwrap();
        first.commit().await.unwrap();
        let added = match second.execute(add, &["a".into()]).await {
            Ok(_) => second.commit().await,
            Err(error) => Err(error),
        };
        assert_eq!(added.is_ok(), wanted, "{added:?}");
        if let Err(error) = added {
            assert_eq!(error.kind(), ringfort_core::ErrorKind::Unavailable);
        }
    }
    assert_eq!(count("a").await, 8 + 2 + 1);
    db.close().await;
}
