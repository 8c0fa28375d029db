// What is known of a request whose head could not be read to its end.
#pragma once
#include "lb/net/http1.hpp"

namespace weir::proxy {

/// Leaves of a head, at which parsing stopped, what the log and `weir why` say of it: method and target if the method
/// is sound, the host if it is, the user agent. All else goes, so that nothing is decided by a part of a request: the
/// fields that would overrule it may have been still to come. head.size becomes what Exchange::begin() has to keep; 0:
/// nothing is known.
void keep_for_the_record(http1::RequestHead& head);

}  // namespace weir::proxy
