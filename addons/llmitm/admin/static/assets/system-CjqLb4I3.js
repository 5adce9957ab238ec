import{j as t}from"./react-B3RtMoXF.js";import{P as e,E as r}from"./index-CkDH5H-j.js";function m(){return t.jsx(e,{title:"System",children:t.jsx(r,{title:"Nothing here yet"})})}export{m as default};
