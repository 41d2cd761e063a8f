#include "wire/ike_notify.h"

#include <stddef.h>

#define NAME(n)                                                                                              \
    case DT_N_##n:                                                                                           \
        return #n

const char *dt_notify_name(uint16_t type)
{
    switch (type) {
        NAME(UNSUPPORTED_CRITICAL_PAYLOAD);
        NAME(INVALID_IKE_SPI);
        NAME(INVALID_MAJOR_VERSION);
        NAME(INVALID_SYNTAX);
        NAME(INVALID_MESSAGE_ID);
        NAME(INVALID_SPI);
        NAME(NO_PROPOSAL_CHOSEN);
        NAME(INVALID_KE_PAYLOAD);
        NAME(AUTHENTICATION_FAILED);
        NAME(SINGLE_PAIR_REQUIRED);
        NAME(NO_ADDITIONAL_SAS);
        NAME(INTERNAL_ADDRESS_FAILURE);
        NAME(FAILED_CP_REQUIRED);
        NAME(TS_UNACCEPTABLE);
        NAME(INVALID_SELECTORS);
        NAME(TEMPORARY_FAILURE);
        NAME(CHILD_SA_NOT_FOUND);
        NAME(INITIAL_CONTACT);
        NAME(SET_WINDOW_SIZE);
        NAME(ADDITIONAL_TS_POSSIBLE);
        NAME(IPCOMP_SUPPORTED);
        NAME(NAT_DETECTION_SOURCE_IP);
        NAME(NAT_DETECTION_DESTINATION_IP);
        NAME(COOKIE);
        NAME(USE_TRANSPORT_MODE);
        NAME(HTTP_CERT_LOOKUP_SUPPORTED);
        NAME(REKEY_SA);
        NAME(ESP_TFC_PADDING_NOT_SUPPORTED);
        NAME(NON_FIRST_FRAGMENTS_ALSO);
        NAME(IKEV2_FRAGMENTATION_SUPPORTED);
        NAME(SIGNATURE_HASH_ALGORITHMS);
    default:
        return NULL;
    }
}

const char *dt_why_str(uint16_t why)
{
    switch ((enum dt_why)why) {
    case DT_WHY_NONE:
        break;
    case DT_WHY_POOL_USED_UP:
        return "the gateway has no inside address left: its pool is used up";
    case DT_WHY_NO_POOL:
        return "the gateway leases no inside address of the IP version that is asked for";
    case DT_WHY_CLIENTS_MAX:
        return "the gateway serves as many clients as its clients_max allows";
    case DT_WHY_ELSEWHERE:
        return "another machine is connected with the same identity: give each machine one of its own";
    }
    return NULL;
}
