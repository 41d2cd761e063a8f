#!/bin/sh
# The reports in a real browser, at the width of a desk and of a phone: no script error, no label on another, nothing that
# sticks out to the right. TAP.
sim=$1
browser=
for b in chromium chromium-browser google-chrome; do
    command -v $b >/dev/null 2>&1 && browser=$b && break
done
if [ -z "$browser" ]; then
    echo "1..0 # SKIP no chromium: the reports are not looked at"
    exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/look.js" <<'JS'
<script>
let errors = 0;
addEventListener('error', () => errors++);
addEventListener('load', () => setTimeout(() => {
    document.querySelectorAll('details').forEach(d => d.open = true);
    let hits = 0, texts = 0, said = '';
    document.querySelectorAll('svg').forEach(svg => {
        const boxes = [];
        svg.querySelectorAll('text').forEach(t => {
            const r = t.getBoundingClientRect();
            if (r.width > 0) boxes.push([r, t.textContent]);
        });
        texts += boxes.length;
        for (let i = 0; i < boxes.length; i++)
            for (let k = i + 1; k < boxes.length; k++) {
                const a = boxes[i][0], b = boxes[k][0];
                const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                if (w > 2 && h > 2.5) { hits++; said = boxes[i][1] + ' | ' + boxes[k][1]; }
            }
    });
    const over = document.documentElement.scrollWidth - innerWidth;
    const outside = document.querySelectorAll('[src],link,script[src]').length;
    parent.postMessage(`width=${innerWidth} texts=${texts} overlaps=${hits} over=${over > 1 ? over : 0} ` +
                       `errors=${errors} outside=${outside} ${said}`, '*');
}, 50));
</script>
JS
n=0
look() # NAME FILE WIDTH
{
    n=$((n + 1))
    sed "s#</body>#LOOK</body>#" "$2" | awk -v js="$dir/look.js" '{ if (i = index($0, "LOOK</body>")) { printf "%s", substr($0, 1, i - 1);
        while ((getline line < js) > 0) print line; print "</body></html>" } else print }' >"$dir/page.html"
    cat >"$dir/frame.html" <<HTML
<!doctype html><body><iframe src="page.html" width="$3" height="4000" style="border:0"></iframe><p id="said">silent</p>
<script>addEventListener('message', e => document.getElementById('said').textContent = e.data)</script></body>
HTML
    said=$(timeout 100 "$browser" --headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update \
        --disable-sync --no-first-run --user-data-dir="$dir/profile" --window-size=1400,4200 --virtual-time-budget=8000 \
        --dump-dom "file://$dir/frame.html" 2>/dev/null | sed -n 's/.*<p id="said">\([^<]*\)<.*/\1/p')
    case $said in
    *"overlaps=0 over=0 errors=0 outside=0"*) echo "ok $n - $1 at $3: $said" ;;
    *) echo "not ok $n - $1 at $3: $said" ;;
    esac
}
for scenario in race-2 race-3 nat-failover; do
    "$sim" run $scenario --seeds 20 --quiet --html "$dir/report.html" >/dev/null
    look $scenario "$dir/report.html" 1280
    look $scenario "$dir/report.html" 390
done
"$sim" sweep --seeds 2 --quiet --html "$dir/report.html" >/dev/null
look sweep "$dir/report.html" 1280
look sweep "$dir/report.html" 390
echo "1..$n"
