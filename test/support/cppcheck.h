/* For ./dev lint: cppcheck reads no headers of libraries; these are their macros that look like code. */
#define json_array_foreach(a, i, v)    for (i = 0, v = json_array_get(a, i); i < json_array_size(a); i++)
#define json_object_foreach(o, k, v)   for (k = "", v = json_object_get(o, k); v != NULL; k++)
#define mnl_attr_for_each_nested(a, n) for (a = mnl_attr_get_payload(n); a != NULL; a = mnl_attr_next(a))
#define DECLARE_LIBBPF_OPTS(t, n, ...) struct t n = {0}
