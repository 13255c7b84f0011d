//! While a name server takes its time, somebody answers in its place: from elsewhere with the number of the question,
//! and in its name without. Nobody listens to him.

use std::time::Duration;

use lab::{
    Attacker, HttpServer, LabError, Stage, Story, Told, attacker::Question, ensure, stage::BOUND,
    stretched, wait_for,
};

const NAME: &str = "server.example";
const DELAY: Duration = Duration::from_millis(700);

pub(crate) fn tell(story: &Story) -> Told {
    // Longer than the name server takes, with a binding at the end.
    let mut stage = Stage::with(|_| {}, |agent| agent.hold = 5_000)?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let attacker = Attacker::new(&mut stage.internet)?;
    let names = stage.internet.names();
    names.delay(NAME, stretched(DELAY));
    let capture = Attacker::listen_at(names.node(), "udp dst port 53")?;
    let mut curl = stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .start()?;
    let question = wait_for("the question", BOUND, || {
        let packets = capture.packets()?;
        let mut questions = packets
            .iter()
            .filter_map(|octets| Question::about(NAME, octets));
        Ok::<_, LabError>(questions.next())
    })?;
    let (server, own) = (question.to, attacker.address());
    let mut forged = Vec::new();
    for from in [(own, 53), (own, server.port()), (server.ip(), 54)] {
        forged.push(question.answered(from.into(), 0, own));
    }
    for beside in 1..=100 {
        forged.push(question.answered(server, beside, own));
    }
    let count = forged.len();
    attacker.send(forged)?;
    curl.finish(BOUND)?.success()?;
    let peers = web.peers();
    ensure(peers.len() == 1 && stage.is_lent(peers[0]), || {
        format!("the server saw {peers:?}")
    })?;
    let refused = stage.agent.status()?.counter("drop_spoofed_answer");
    ensure(refused > 0, || "no answer was refused".to_owned())?;
    story.saw(format!(
        "{count} forged answers before the name server's own, {refused} seen and refused; the laptop reached the server, from {peers:?}"
    ));
    Ok(())
}
