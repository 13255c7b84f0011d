//! A delay line in user space, for kernels without netem.
//!
//! Packets are diverted into a TUN device, wait in a queue, and come out of the same device again.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tun_rs::DeviceBuilder;

use crate::{LabError, Node};

/// Packets on their way at one time; later ones are lost, as in a router with a full queue.
const QUEUE_LIMIT: usize = 20_000;

/// Table of the default route into the line.
const TABLE: u32 = 100;

/// The device's name on the router.
const DEVICE: &str = "delay0";

#[derive(Default)]
struct Line {
    queue: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    filled: Condvar,
}

/// Delays all that comes in by `links` of `router` by `one_way`.
pub(crate) fn install(
    router: &Node,
    links: Vec<String>,
    one_way: Duration,
) -> Result<(), LabError> {
    router.run(move |network| {
        let device = DeviceBuilder::new()
            .name(DEVICE)
            .mtu(1500)
            .build_sync()
            .map_err(LabError::io("make the delay line's device"))?;
        let device = Arc::new(device);
        network.up(DEVICE)?;
        for link in &links {
            network.divert(link, TABLE, DEVICE)?;
        }
        let line = Arc::new(Line::default());
        let (reader, writer) = (Arc::clone(&device), device);
        let entrance = Arc::clone(&line);
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(length) = reader.recv(&mut buffer) {
                let due = Instant::now() + one_way;
                let mut queue = entrance
                    .queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if queue.len() < QUEUE_LIMIT {
                    queue.push_back((due, buffer[..length].to_vec()));
                    entrance.filled.notify_one();
                }
            }
        });
        thread::spawn(move || {
            loop {
                let (due, packet) = next(&line);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let _lost_as_on_any_link = writer.send(&packet);
            }
        });
        Ok(())
    })
}

fn next(line: &Line) -> (Instant, Vec<u8>) {
    let mut queue = line.queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(packet) = queue.pop_front() {
            return packet;
        }
        queue = line
            .filled
            .wait(queue)
            .unwrap_or_else(PoisonError::into_inner);
    }
}
