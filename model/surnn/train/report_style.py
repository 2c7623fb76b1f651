"""How the report page looks."""

__all__ = ["CSS"]

CSS = """
:root{--ink:#1d2733;--soft:#5d6b7a;--line:#e3e8ee;--blue:#2f6db5}
*{box-sizing:border-box}
body{margin:0;background:#f5f7f9;color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 60px}
header,section{background:#fff;border:1px solid var(--line);border-radius:8px;
padding:20px 24px;margin:0 0 18px}
h1{margin:0;font-size:28px}h1 small{color:var(--soft);font-weight:400;font-size:17px}
h2{margin:0 0 12px;font-size:18px}
p{margin:6px 0}.note{color:var(--soft)}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin-top:16px}
.tiles div{flex:1 1 110px;border:1px solid var(--line);border-radius:6px;padding:10px 12px}
.tiles b{display:block;font-size:21px;font-variant-numeric:tabular-nums;white-space:nowrap}
.tiles span{color:var(--soft);font-size:12.5px}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:18px}
.half{max-width:620px}
figure{margin:0}figure svg{width:100%;height:auto;display:block}
figcaption{color:var(--soft);font-size:13px;margin-top:4px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:600;white-space:nowrap}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
td i{display:inline-block;height:9px;background:var(--blue);opacity:.55;border-radius:2px}
pre{background:#f5f7f9;border:1px solid var(--line);border-radius:6px;padding:10px 12px;
overflow-x:auto;font-size:13px}
summary{cursor:pointer;color:var(--blue);margin-top:10px}
@media print{body{background:#fff}header,section{border:0;padding:0;break-inside:avoid}}
"""
