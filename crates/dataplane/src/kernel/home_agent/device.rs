//! The home agent's tunnel device, of this run or of a former one.

use mobility_protocol::Family;

use super::super::channel::Channel;
use super::super::device::{self, Device, Form};
use super::super::elements::Elements;
use super::super::program::remove_table;
use super::super::ruleset;
use super::HomeAgentConfig;
use crate::Error;

/// The device of a former run; `None` when there is none.
pub(super) fn find(
    channel: &mut Channel,
    config: &HomeAgentConfig,
) -> Result<Option<Device>, Error> {
    let devices = device::list(channel)?;
    let found = devices
        .into_iter()
        .find(|device| device.name == config.device);
    match found {
        Some(found) if found.form == Some(Form::External(Family::Ipv4)) => Ok(Some(found)),
        Some(found) => Err(Error::DeviceTaken(found.name)),
        None => Ok(None),
    }
}

pub(super) fn make(channel: &mut Channel, config: &HomeAgentConfig) -> Result<Device, Error> {
    let made = device::create(
        channel,
        &config.device,
        Form::External(Family::Ipv4),
        config.mtu,
    );
    if let Err(error) = made {
        // The kernel has one such device for each namespace.
        let other = device::list(channel)?
            .into_iter()
            .find(|device| device.form == Some(Form::External(Family::Ipv4)));
        return Err(match other {
            Some(other) if error.is_present() => Error::ExternalDevice(other.name),
            _ => device::explain(error, Family::Ipv4),
        });
    }
    find(channel, config)?.ok_or_else(|| Error::NoDevice(config.device.clone()))
}

/// Removes device and table that the kernel backend of a former run left, so that another backend
/// can take their place.
///
/// # Errors
/// What could not be removed.
pub(crate) fn remove_leftovers(device: &str) -> Result<(), Error> {
    let mut channel = Channel::open_route()?;
    let mut found = false;
    for present in device::list(&mut channel)? {
        if present.name == device && present.form == Some(Form::External(Family::Ipv4)) {
            found = true;
            device::delete(&mut channel, present.index)?;
        }
    }
    if found {
        remove_table(&mut Elements::open(ruleset::TABLE)?, ruleset::TABLE)?;
    }
    Ok(())
}
