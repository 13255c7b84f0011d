//! With `trust = "dnssec"` a home agent whose name is signed serves as ever, through a move; one whose name need not be
//! signed, and one whose signatures are somebody else's, are not asked, and the connections go plainly.

use std::{fs, path::Path};

use lab::{
    HomeAgent, HttpServer, LabError, Site, SiteKind, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};
use signed_zone::Zone;

const OCTETS: usize = 1_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let honest = Zone::new("example.").delegate("unsigned.example.");
    let anchor = Path::new("/run/lab/trust-anchor");
    fs::write(anchor, honest.anchor()).map_err(LabError::io("write the trust anchor"))?;
    let mut stage = Stage::with(
        |_| {},
        |agent| {
            let anchor = anchor.display();
            agent.policy = format!("trust = \"dnssec\"\ntrust-anchor = \"{anchor}\"");
        },
    )?;
    let unsigned = Place::new(&mut stage, "unsigned.example")?;
    let forged = Place::new(&mut stage, "forged.example")?;
    let of = |zone: Zone, site: &Site| {
        zone.with(&format!("{}.", site.name), site.address)
            .with(&format!("cha.{}.", site.name), site.agent)
    };
    let names = stage.internet.names();
    names.answer_from("example", of(honest, &stage.site));
    let below = Zone::new("unsigned.example.").unsigned();
    names.answer_from("unsigned.example", of(below, &unsigned.site));
    // The apex and another key.
    names.answer_from("forged.example", of(Zone::new("example."), &forged.site));

    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("file");
    let url = format!("http://server.example/{OCTETS}/400000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let size = wait_for_size(&file, 10_000, BOUND)?;
    stage.move_and_wait()?;
    wait_for_size(&file, size + 50_000, BOUND)?;
    curl.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    let peers = web.peers();
    ensure(peers.len() == 1 && stage.is_lent(peers[0]), || {
        format!("the server with the signed name saw {peers:?}")
    })?;

    let before = counters(&stage)?;
    ensure(before == [0, 0], || format!("{before:?} with signed names"))?;
    unsigned.is_reached_plainly(&stage)?;
    let [insecure, failures] = counters(&stage)?;
    ensure(insecure > 0 && failures == 0, || {
        format!("{insecure} insecure, {failures} failed without signatures")
    })?;
    forged.is_reached_plainly(&stage)?;
    let [still, failures] = counters(&stage)?;
    ensure(still == insecure && failures > 0, || {
        format!("{still} insecure, {failures} failed with another's signatures")
    })?;
    story.saw(format!(
        "signed: {} through a move; unsigned and wrongly signed: {}, counted {insecure} and {failures} times",
        peers[0],
        stage.care_of()
    ));
    Ok(())
}

/// A site whose home agent nobody is led to.
struct Place {
    site: Site,
    chad: HomeAgent,
    web: HttpServer,
}

impl Place {
    fn new(stage: &mut Stage, name: &str) -> Result<Place, LabError> {
        let site = stage.internet.site(name, SiteKind::Gateway)?;
        Ok(Place {
            chad: HomeAgent::start(&site)?,
            web: HttpServer::start(&site.server, 80)?,
            site,
        })
    }

    fn is_reached_plainly(&self, stage: &Stage) -> Told {
        let name = &self.site.name;
        stage
            .curl(&["-o", "/dev/null", &format!("http://{name}/1000")])
            .finish(BOUND)?
            .success()?;
        let (peers, care_of) = (self.web.peers(), stage.care_of());
        ensure(peers == [care_of], || format!("{name} saw {peers:?}"))?;
        // Whoever asks for the first time gets one.
        let challenges = self.chad.status()?.counter("challenges");
        ensure(challenges == 0, || {
            format!("the home agent of {name} was asked {challenges} times")
        })
    }
}

/// What was not signed, and what could not be validated.
fn counters(stage: &Stage) -> Result<[u64; 2], LabError> {
    let status = stage.agent.status()?;
    Ok(["drop_insecure", "cha_lookup_failures"].map(|name| status.counter(name)))
}
