use super::*;
use crate::plan::{
    desired,
    tests::{entry, failed, held, me, seen},
};
use consul::Role;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(1);

/// One instance, its rooms' values in the hands of the test.
struct Scene {
    orders: watch::Sender<Order>,
    beats: watch::Sender<Beats>,
    catalog: watch::Sender<Watched>,
    desired: watch::Receiver<Desired>,
    drain: watch::Receiver<Drain>,
    switches: Arc<AtomicU32>,
    _kept: (watch::Sender<Belief>, watch::Sender<Desired>, watch::Sender<Actual>),
}

fn scene(role: Role, switch: Result<(), String>) -> Scene {
    let (orders, ordered) = watch::channel(Order::default());
    let (belief, believed) = watch::channel(seen(role));
    let (wish, wished) = watch::channel(desired(&me(), &seen(role)));
    let known = held(&entry(&wish.borrow()));
    let (actual, is) = watch::channel(Actual { known, ..Actual::default() });
    let (beats, beaten) = watch::channel(Beats { said: Some(Status::Passing), beats: 1, ..Beats::default() });
    let (catalog, rows) = watch::channel(Watched::default());
    let (out, desired) = watch::channel(Desired::Undecided);
    let (tell, drain) = watch::channel(Drain::default());
    let switches = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&switches);
    let views =
        Views { belief: believed, desired: desired.clone(), actual: is, beats: beaten, catalog: rows };
    tokio::spawn(async move {
        let drained = tell.subscribe();
        let hand_over = |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            let switch = switch.clone();
            async {
                sleep(SOON).await;
                switch
            }
        };
        tokio::join!(obey("redis-0", ordered, views, hand_over, &tell), pass_on(wished, drained, &out));
    });
    Scene { orders, beats, catalog, desired, drain, switches, _kept: (belief, wish, actual) }
}

fn row(id: &str, role: &str, status: &str) -> Value {
    json!({"Node": "n", "ID": id, "Tags": [role], "Address": "10.0.0.7", "Port": 6379, "Status": status})
}

impl Scene {
    fn order(&self, what: What) {
        self.orders.send_modify(|order| *order = Order { number: order.number + 1, what });
    }

    fn shows(&self, rows: &[Value]) {
        self.catalog.send_modify(|watched| watched.value = Some(Arc::new(rows.to_vec().into())));
    }

    fn told(&self, status: Status) {
        self.beats.send_modify(|beats| beats.said = Some(status));
    }

    async fn reaches(&mut self, stage: Stage) {
        let reached = timeout(SOON * 60, self.drain.wait_for(|drain| drain.stage == stage)).await;
        assert!(reached.is_ok_and(|alive| alive.is_ok()), "{stage:?} was not reached");
    }

    async fn stays(&self, stage: Stage) {
        sleep(SOON * 10).await;
        assert_eq!(self.drain.borrow().stage, stage);
    }

    fn status(&self) -> Status {
        entry(&self.desired.borrow()).check.status
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_drained_once_agent_and_catalog_say_so_and_stays_so() {
    let mut scene = scene(Role::Replica, Ok(()));
    sleep(SOON).await;
    assert_eq!(scene.status(), Status::Passing);
    scene.order(What::Drain(Some(SOON)));
    scene.reaches(Stage::Draining).await;
    scene.desired.changed().await.unwrap();
    assert_eq!(scene.status(), Status::Critical);
    assert!(matches!(&*scene.desired.borrow(), Desired::Present(_, said) if said == "draining"));
    scene.shows(&[]);
    scene.stays(Stage::Draining).await;
    scene.told(Status::Critical);
    scene.shows(&[row("redis-0", "replica", "passing")]);
    scene.stays(Stage::Draining).await;
    scene.shows(&[row("redis-0", "replica", "critical")]);
    scene.reaches(Stage::Drained).await;
    assert_eq!(scene.switches.load(Ordering::Relaxed), 0, "a replica has nothing to hand over");
    assert_eq!(scene.drain.borrow().order, 1);

    scene.order(What::Drain(None));
    scene.reaches(Stage::Drained).await;
    scene.order(What::Serve);
    scene.reaches(Stage::Serving).await;
    scene.desired.changed().await.unwrap();
    assert_eq!(scene.status(), Status::Passing);
}

#[tokio::test(start_paused = true)]
async fn a_master_hands_over_before_it_is_drained() {
    let mut scene = scene(Role::Master, Ok(()));
    scene.order(What::Drain(Some(SOON)));
    scene.reaches(Stage::HandingOver).await;
    assert_eq!(scene.status(), Status::Passing, "writes still reach it, and wait there");
    scene.reaches(Stage::Draining).await;
    scene.told(Status::Critical);
    scene.shows(&[row("redis-0", "replica", "critical")]);
    scene.stays(Stage::Draining).await;
    scene.shows(&[row("redis-0", "replica", "critical"), row("redis-1", "master", "passing")]);
    scene.reaches(Stage::Drained).await;
    assert_eq!(scene.switches.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_hand_over_leaves_it_in_service_and_may_be_tried_again() {
    let mut scene = scene(Role::Master, Err("no replica".into()));
    for order in 1..3 {
        scene.order(What::Drain(Some(SOON)));
        scene.reaches(Stage::HandingOver).await;
        scene.reaches(Stage::Refused("no replica".into())).await;
        assert_eq!(scene.status(), Status::Passing);
        assert_eq!(
            scene.drain.borrow().show(),
            json!({"order": order, "state": "refused", "why": "no replica"})
        );
    }
    scene.order(What::Drain(None));
    scene.reaches(Stage::Draining).await;
    assert_eq!(scene.switches.load(Ordering::Relaxed), 2, "without being asked, nobody is switched");
}

#[test]
fn what_is_not_in_service_anyway_stays_as_it_is() {
    let drained = Drain { order: 1, stage: Stage::Drained };
    for wish in [Desired::Undecided, Desired::Absent] {
        assert_eq!(drained.overrule(&wish), wish);
    }
    let lost = desired(&me(), &failed(seen(Role::Master)));
    assert_eq!(Drain::default().overrule(&lost), lost);
    assert_eq!(entry(&drained.overrule(&lost)).check.status, Status::Critical);
}

#[test]
fn orders_are_read() {
    assert_eq!(limit(""), Ok(None));
    assert_eq!(limit(" hand-over 15s\n"), Ok(Some(Duration::from_secs(15))));
    assert!(limit("hand-over").is_err());
    assert!(limit("now").unwrap_err().contains("hand-over 15s"));
}
